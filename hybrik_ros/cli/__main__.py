"""`python -m hybrik_ros.cli` is `hybrik`."""

import sys

from hybrik_ros.cli import main

sys.exit(main())
