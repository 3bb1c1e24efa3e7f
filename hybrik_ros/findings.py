"""Results of checks, with advice."""

import re
from dataclasses import dataclass

# What is wrong and what to do: parted by the last colon that is not within parentheses.
_ADVICE = re.compile(r'(.+): ((?:\([^()]*\)|[^():]|:(?! ))+)', re.DOTALL)
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
        if split := _ADVICE.fullmatch(text):
            return cls(level, subject, *split.groups())
        return cls(level, subject, text, advice)
