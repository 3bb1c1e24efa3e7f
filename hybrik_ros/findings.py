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

    @classmethod
    def of(cls, level: str, subject: str, text: str, advice: str = '') -> 'Finding':
        """Return the finding that a message states: what is wrong, a colon, and what to do.

        Parameters
        ----------
        level, subject : str
            As the attributes.
        text : str
            The message.
        advice : str
            What to do where the message does not say it.
        """
        found, _, own = text.rpartition(': ')
        return cls(level, subject, found, own) if found else cls(level, subject, text, advice)
