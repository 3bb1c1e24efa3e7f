"""URLs without their credentials: passwords and tokens must not reach terminals and logs."""

import re
from urllib.parse import unquote

_SHOWN = '***'  # in the place of credentials
# What follows the scheme of a URL. Path makes one slash of two.
_START = re.compile(r'((?<=\w):/{1,2})')
# A URL within the query of another one.
_ENCODED = re.compile(r'%3a%2f\S*', re.IGNORECASE)
# Digits before a / are a port, and no password.
_PORT = re.compile(r'\d{1,5}[/\s]')
# In paths and queries, as in user=admin_password=secret and ?token=secret&size=1.
_NAMED = re.compile(
    r'((?:pass(?:wd|word)?|pwd|token|secret|key|auth|sig(?:nature)?|credential)=)'
    r"""[^&;\s'"]*(?<![:,.])""",
    re.IGNORECASE,
)


def hide_credentials(text: str) -> str:
    """Return a text with asterisks in the place of the credentials of all URLs in it.

    Parameters
    ----------
    text : str
        A URL, a path that was made of one, or a message with such; other text stays as it is.
    """
    parts = _START.split(_ENCODED.sub(lambda found: unquote(found[0]), text))
    parts[2::2] = map(_hide, parts[2::2])
    return ''.join(parts)


def _hide(location: str) -> str:
    """Return what follows the scheme of a URL, up to the next one, without credentials."""
    url, *after = re.split(r'(?=\s)', location, maxsplit=1)
    if '@' not in url:  # A password may have spaces.
        url, after = location, []
    return _NAMED.sub(rf'\1{_SHOWN}', ''.join([_hide_user(url), *after]))


def _hide_user(location: str) -> str:
    # A password may contain any character, also @ and / unescaped.
    credentials, at, host = location.rpartition('@')
    user, colon, password = credentials.partition(':')
    if not at or re.search(r'[/\s]', user) or _PORT.match(password):
        return location
    return f'{user if colon else ""}{colon}{_SHOWN}@{host}'
