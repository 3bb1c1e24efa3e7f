# Remove include directories that do not exist from the targets of rosidl_generator_py.
#
# The ROS 2 wheels on PyPI export include directories of the machine that built them;
# rosidl_generator_py adds the actual Python and NumPy headers itself. In a ROS distribution all
# exported directories exist, and nothing changes. Call it after rosidl_generate_interfaces(), which
# imports the targets.
function(drop_missing_include_directories)
  get_property(targets DIRECTORY PROPERTY IMPORTED_TARGETS)
  list(FILTER targets INCLUDE REGEX "__rosidl_generator_py$")
  foreach(target IN LISTS targets)
    get_target_property(directories ${target} INTERFACE_INCLUDE_DIRECTORIES)
    set(existing "")
    foreach(directory IN LISTS directories)
      if(EXISTS "${directory}" OR directory MATCHES "^\\$<")
        list(APPEND existing "${directory}")
      endif()
    endforeach()
    set_target_properties(${target} PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${existing}")
  endforeach()
endfunction()
