"""Sphinx: the pages in this folder, and the reference of the Python package.

    pip install ".[docs]" && sphinx-build -W doc build/doc

rosdoc2 reads this file too (rosdoc2.yaml).
"""

from hybrik_ros import __version__

project = 'hybrik_ros'
author = 'The hybrik_ros authors'
version = release = __version__

extensions = [
    'myst_parser',
    'sphinx.ext.autodoc',
    'sphinx.ext.autosummary',
    'sphinx.ext.napoleon',
    'sphinx.ext.viewcode',
]
master_doc = 'index'
# The last two are what rosdoc2 generates of all modules: api.rst lists the public ones.
exclude_patterns = ['examples', '**modules.rst', '**hybrik_ros*.rst']
html_theme = 'alabaster'

autosummary_generate = True
autodoc_typehints = 'none'  # The docstrings name the types.
autodoc_default_options = {'members': True, 'show-inheritance': True}
# Imported where a command needs them; the reference is built without.
autodoc_mock_imports = ['tensorrt', 'ray', 'torch', 'onnx', 'matplotlib', 'vision_msgs', 'hri_msgs']
napoleon_google_docstring = False
napoleon_use_ivar = True

myst_heading_anchors = 4
