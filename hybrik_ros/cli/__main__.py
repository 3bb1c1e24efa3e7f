"""`python -m hybrik_ros.cli` is `hybrik`."""

import sys

from hybrik_ros.cli import main

if __name__ == '__main__':  # Not in the processes that it starts.
    sys.exit(main())
