"""Human bodies for ROS 2: 3D joints and SMPL rotations from a camera, by HybrIK."""

import os as _os
from pkgutil import extend_path as _extend_path

# The generated messages (hybrik_ros.msg and their type support) are installed into this very
# directory. From a source checkout they are elsewhere: in _generated after an editable install,
# or in another hybrik_ros directory on sys.path after colcon or pip.
__path__ = _extend_path(__path__, __name__)
_generated = _os.path.join(_os.path.dirname(__file__), '_generated')
if _os.path.isdir(_generated):
    __path__.insert(1, _generated)

__version__ = '0.1.0'
