"""What an examination finds, and what to do about it."""

from dataclasses import dataclass

OK, WARNING, PROBLEM = LEVELS = ('ok', 'warning', 'problem')


@dataclass(frozen=True)
class Finding:
    """One line of `hybrik doctor`.

    Attributes
    ----------
    level: one of LEVELS. A warning costs quality, or may do so later; with a problem the node, or
        that part of it, does not work.
    subject: what was looked at.
    found: what it is like.
    advice: what to do; empty where nothing is to be done.
    """

    level: str
    subject: str
    found: str
    advice: str = ''
