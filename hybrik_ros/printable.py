"""Text that is safe to show: on one line, short, without what terminals interpret and passwords.

Names in files and messages can hold anything. Terminals execute escape sequences in them, line
breaks forge lines of a log, and marks of writing direction reorder what is read. Logs are passed
on, and with them the credentials of URLs.
"""

import unicodedata

from hybrik_ros.credentials import hide_credentials
from hybrik_ros.limits import MAX_SHOWN_CHARACTERS

# Unicode's categories of control and format characters, surrogates, and separators of lines and
# paragraphs.
_UNSAFE = frozenset(('Cc', 'Cf', 'Cs', 'Zl', 'Zp'))


def printable(text: object, max_length: int = MAX_SHOWN_CHARACTERS) -> str:
    r"""Return a text with control characters escaped, as \x1b or \n, and its middle cut out.

    The credentials of URLs are hidden.

    Parameters
    ----------
    text : object
        The text; other objects are converted by str.
    max_length : int
        Maximum number of characters that are kept. Beginning and end remain: error messages begin
        with what is wrong and end with what to do.
    """
    found = _cut(hide_credentials(str(text)), max_length)
    if found.isprintable():
        return found
    return _cut(''.join(_escape(character) for character in found), max_length)


def _cut(text: str, max_length: int) -> str:
    if len(text) <= max_length:
        return text
    tail = max_length // 3
    left_out = len(text) - max_length
    return f'{text[: max_length - tail]} [{left_out} characters] {text[-tail:]}'


def _escape(character: str) -> str:
    if unicodedata.category(character) not in _UNSAFE:
        return character
    return character.encode('unicode_escape').decode()
