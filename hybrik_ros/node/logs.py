"""Python's logging in ROS's log."""

import logging

from rclpy.impl.rcutils_logger import RcutilsLogger


class RosLog(logging.Handler):
    """While entered, takes what the package logs, from INFO on, to a ROS logger.

    Attributes
    ----------
    last: what was logged last.
    """

    def __init__(self, logger: RcutilsLogger) -> None:
        super().__init__()
        self.last = ''
        self._logger = logger
        self._package = logging.getLogger('hybrik_ros')

    def __enter__(self) -> 'RosLog':
        self._level = self._package.level
        self._package.setLevel(logging.INFO)
        self._package.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._package.removeHandler(self)
        self._package.setLevel(self._level)

    def emit(self, record: logging.LogRecord) -> None:
        """Log a record; rclpy wants a line of code for each level."""
        self.last = record.getMessage()
        if record.levelno >= logging.ERROR:
            self._logger.error(self.last)
        elif record.levelno >= logging.WARNING:
            self._logger.warning(self.last)
        else:
            self._logger.info(self.last)
