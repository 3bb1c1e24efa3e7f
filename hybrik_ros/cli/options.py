"""Options and types of arguments that several commands have."""

import argparse


def given_name(text: str) -> str:
    """Return a name; refuse an empty one, such as that of a variable of a shell that is not set.

    Raises
    ------
    ArgumentTypeError
        The text is empty.
    """
    if not text:
        raise argparse.ArgumentTypeError('must not be empty')
    return text


def whole_number(text: str) -> int:
    """Parse a whole number.

    Raises
    ------
    ValueError, ArgumentTypeError
        The text is no whole number, or below 0.
    """
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f'must not be below 0, but is {text}')
    return number


def add_param(parser: argparse.ArgumentParser) -> None:
    """Add the option -p, whose values `settings.parse_settings` reads."""
    parser.add_argument(
        '-p',
        '--param',
        action='append',
        default=[],
        metavar='NAME:=VALUE',
        help='a parameter of the node, such as detector.size:=640; can be repeated',
    )
