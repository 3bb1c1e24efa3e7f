"""Forwarding of Python's log to a ROS logger."""

import logging

from rclpy.impl.rcutils_logger import RcutilsLogger

from hybrik_ros.printable import printable


class RosLog(logging.Handler):
    """Context manager that forwards log records of the package, from INFO on, to a ROS logger.

    Parameters
    ----------
    logger : RcutilsLogger
        The ROS logger.

    Attributes
    ----------
    last : str
        Text of the last record.
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
        """Log a record. rclpy needs a separate line of code per level."""
        self.last = printable(record.getMessage())
        if record.levelno >= logging.ERROR:
            self._logger.error(self.last)
        elif record.levelno >= logging.WARNING:
            self._logger.warning(self.last)
        else:
            self._logger.info(self.last)
