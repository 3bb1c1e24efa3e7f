"""What is wrong but does not end the node: logged once, and counted in the reports."""

import re

from rclpy.impl.rcutils_logger import RcutilsLogger

from hybrik_ros.node.diagnostics import Diagnostics
from hybrik_ros.printable import printable

# Maximum number of different messages, whatever comes in: the log stays readable and the memory
# bounded.
_MAX_MESSAGES = 50


class Complaints:
    """Logs each fault once per activation, and passes warnings on to the diagnostics.

    Parameters
    ----------
    logger : RcutilsLogger
        Logger of the node.
    diagnostics : Diagnostics
        Reports of the node.
    """

    def __init__(self, logger: RcutilsLogger, diagnostics: Diagnostics) -> None:
        self._logger = logger
        self._diagnostics = diagnostics
        self._logged: set[str] = set()

    def log_once(self, message: str) -> None:
        """Log an error, unless the same one, apart from its numbers, was logged before."""
        message = printable(message)
        key = _without_numbers(message)
        if key not in self._logged and len(self._logged) < _MAX_MESSAGES:
            self._logged.add(key)
            self._logger.error(f'{message} (logged once; see /diagnostics)')

    def warn(self, message: str, lasting: bool = False) -> None:
        """Log once, and show in the reports, what is wrong but costs no frame.

        Parameters
        ----------
        message : str
            What is wrong, and what to do.
        lasting : bool
            Whether the reports show it until the next activation, since nothing tells when it is
            over.
        """
        message = printable(message)
        self._diagnostics.warn(_without_numbers(message), message, lasting)
        self.log_once(message)


def _without_numbers(message: str) -> str:
    return re.sub(r'\b[0-9.]+\b', '#', message)
