#!/usr/bin/env python3
"""Write config/camera.yaml, and the table of parameters in the README, from the node's own table.

    python tools/parameters.py            # --check only tells whether they are as they should be

The node's table is in hybrik_ros/parameters.py.
"""

import argparse
import sys
import textwrap
from itertools import groupby
from pathlib import Path

from hybrik_ros.parameters import DECLARATIONS, Declaration, Value

ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = '<!-- parameters: tools/parameters.py -->', '<!-- end of parameters -->'
WIDTH = 100
INDENT = 2 * ' '

HEAD = """\
# Parameters of hybrik_node, with their defaults. Written by tools/parameters.py.
# The node of any namespace takes them: ros2 launch hybrik_ros camera.launch.py params_file:=...
# What is marked with * takes effect when the node is configured, the rest with the next frame.
/**:
  hybrik_node:
    ros__parameters:
"""


def to_yaml() -> str:
    """Return config/camera.yaml."""
    lines = []
    for group, declarations in groupby(DECLARATIONS, lambda one: one.name.rpartition('.')[0]):
        depth = 3
        if group:
            lines.append(f'{depth * INDENT}{group}:')
            depth += 1
        for declaration in declarations:
            margin = depth * INDENT
            comment = textwrap.wrap(_meaning(declaration), WIDTH - len(margin) - 2)
            lines += [f'{margin}# {line}' for line in comment]
            name = declaration.name.rpartition('.')[2]
            lines.append(f'{margin}{name}: {_literal(declaration.default)}')
            if not group:
                lines.append('')
        if group:
            lines.append('')
    return HEAD + '\n'.join(lines).rstrip() + '\n'


def to_markdown() -> str:
    """Return the table of the README."""
    rows = [
        f'| `{one.name}` | {one.type} | `{_literal(one.default)}` | {_range(one)} '
        f'| {"next frame" if one.dynamic else "configure"} | {one.description} |'
        for one in DECLARATIONS
    ]
    head = ['| name | type | default | range | takes effect | what |', '|---|---|---|---|---|---|']
    return '\n'.join([BEGIN, *head, *rows, END])


def _meaning(declaration: Declaration) -> str:
    mark = '' if declaration.dynamic else '* '
    limits = _range(declaration)
    span = f' ({limits})' if limits and not declaration.choices else ''
    return f'{mark}{declaration.description.rstrip(".")}{span}.'


def _range(declaration: Declaration) -> str:
    if declaration.choices:
        return ', '.join(declaration.choices)
    if declaration.limits is None:
        return ''
    low, high = declaration.limits
    return f'{low:g} to {high:g}'


def _literal(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, float) else str(value) or "''"


def main() -> int:
    """Write the files, or only compare them; return 1 where they differ."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--check', action='store_true', help='change nothing')
    check = parser.parse_args().check
    readme = ROOT / 'README.md'
    before, _, rest = readme.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    wanted = {
        ROOT / 'config' / 'camera.yaml': to_yaml(),
        readme: before + to_markdown() + after,
    }
    differing = [path for path, content in wanted.items() if path.read_text() != content]
    for path in differing:
        if check:
            print(f'{path} is not what tools/parameters.py writes: run it', file=sys.stderr)
        else:
            path.write_text(wanted[path])
    return int(check and bool(differing))


if __name__ == '__main__':
    sys.exit(main())
