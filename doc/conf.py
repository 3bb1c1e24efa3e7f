"""Sphinx: the pages in this folder, and the reference of the Python package.

    pip install ".[docs]" && sphinx-build -W doc build/doc

rosdoc2 runs this text too (rosdoc2.yaml), from a file of its own, and adds the version.
"""

import sys
from pathlib import Path

# The checkout, for autodoc.
_folders = (Path.cwd(), *Path(__file__).resolve().parents)
sys.path[:0] = [str(folder) for folder in _folders if (folder / 'hybrik_ros/human.py').is_file()]

project = 'hybrik_ros'
author = 'The hybrik_ros authors'

extensions = [
    'myst_parser',
    'sphinx.ext.autodoc',
    'sphinx.ext.autosummary',
    'sphinx.ext.napoleon',
    'sphinx.ext.viewcode',
]
master_doc = 'index'
exclude_patterns = ['examples']
if 'rosdoc2' in sys.modules:  # It documents all modules itself.
    exclude_patterns += ['api.rst', 'user_docs/api.rst']
    suppress_warnings = ['toc.excluded']
html_theme = 'alabaster'

autosummary_generate = True
autodoc_typehints = 'none'  # The docstrings name the types.
autodoc_default_options = {'members': True, 'show-inheritance': True}
# Imported where a command needs them; the reference is built without.
autodoc_mock_imports = ['tensorrt', 'ray', 'torch', 'onnx', 'matplotlib', 'vision_msgs', 'hri_msgs']
napoleon_google_docstring = False
napoleon_use_ivar = True

myst_heading_anchors = 4
