"""Options that several commands have."""

import argparse


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
