"""Results of checks, with advice."""

from dataclasses import dataclass

OK, WARNING, PROBLEM = LEVELS = ('ok', 'warning', 'problem')


@dataclass(frozen=True)
class Finding:
    """The result of one check of `hybrik doctor`.

    Attributes
    ----------
    level : str
        One of LEVELS. A warning reduces quality, now or later; with a problem, the node or a part
        of it does not work.
    subject : str
        What was checked.
    found : str
        The result.
    advice : str
        What to do; empty where nothing is to be done.
    """

    level: str
    subject: str
    found: str
    advice: str = ''
