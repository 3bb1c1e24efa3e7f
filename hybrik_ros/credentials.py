"""URLs without their credentials: passwords and tokens must not reach terminals and logs."""

import re
from urllib.parse import unquote

_SHOWN = '***'  # in the place of credentials
# What follows the scheme of a URL. Path makes one slash of two.
_START = re.compile(r'((?<=\w):/{1,2})')
# A URL within the query of another one, encoded once or several times.
_ENCODED = re.compile(r'%(?:25)*3a%(?:25)*2f\S*', re.IGNORECASE)
_ENCODED_PERCENT = re.compile(r'%(?:25)+')
# Digits after a host are its port; a password of digits alone cannot be told from it.
_HOST_AND_PORT = re.compile(r'[^/:]*:\d{1,5}(?:[/?#]|$)')
_VALUE = r"""(?:"[^"]*"|'[^']*'|[^&;\s'"]*(?<![:,.]))"""
# In queries all values are hidden, but those of these names.
_HARMLESS = (
    'channel|codec|format|fps|height|latency|mode|profile|rate|resolution|size|stream|subtype|'
    'timeout|transport|u|url|user|width'
)
_QUERIED = re.compile(
    rf"""([?&;#](?!(?:{_HARMLESS})=)[^=&;?#\s'"]+=){_VALUE}""",
    re.IGNORECASE,
)
# In paths, as in user=admin_password=secret.
_NAMED = re.compile(
    r'((?:pass?(?:wd|word|phrase)?|psw|pwd?|token|secret|key|auth(?:orization)?|bearer|jwt|'
    rf'sig(?:nature)?|credentials?|session|sid|ticket|code)=){_VALUE}',
    re.IGNORECASE,
)


def hide_credentials(text: str) -> str:
    """Return a text with asterisks in the place of the credentials of all URLs in it.

    Parameters
    ----------
    text : str
        A URL, a path that was made of one, or a message with such; other text stays as it is.
    """
    first, *parts = _START.split(_ENCODED.sub(_decode, text))
    parts[1::2] = map(_hide_user, parts[1::2])
    urls = ''.join(parts)
    for values in (_QUERIED, _NAMED):
        urls = values.sub(rf'\1{_SHOWN}', urls)
    return first + urls


def _decode(found: re.Match[str]) -> str:
    return unquote(_ENCODED_PERCENT.sub('%', found[0]))


def _hide_user(location: str) -> str:
    """Return what follows the scheme of a URL, up to the next one, without its password."""
    url, *after = re.split(r'(?=\s)', location, maxsplit=1)
    if '@' not in url and not _HOST_AND_PORT.match(url):  # A password may have spaces.
        url, after = location, []
    # A password may contain any character, also @ and / unescaped.
    credentials, at, host = url.rpartition('@')
    user, colon, _ = credentials.partition(':')
    if not at or re.search(r'[/\s]', user):
        return location
    return ''.join([user if colon else '', colon, _SHOWN, at, host, *after])
