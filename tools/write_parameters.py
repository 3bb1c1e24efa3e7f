#!/usr/bin/env python3
"""Write config/*.yaml and the tables in doc/parameters.md from hybrik_ros/settings.py.

python tools/write_parameters.py      # --check only reports differences
"""

import argparse
import sys
import textwrap
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # this source tree, whichever one is installed

from hybrik_ros.settings import (  # noqa: E402
    FUSION_PARAMETERS,
    PARAMETERS,
    Names,
    Parameter,
    Value,
)

BEGIN = '<!-- parameters of {}: tools/write_parameters.py -->'
END = '<!-- end of parameters -->'
WIDTH = 100
INDENT = 2 * ' '
# Parameters, YAML file, launch file and its argument for the YAML file, by node.
NODES = {
    'hybrik_node': (PARAMETERS, 'camera.yaml', 'camera.launch.py', 'params_file'),
    'fusion_node': (
        FUSION_PARAMETERS, 'fusion.yaml', 'multi_camera.launch.py', 'fusion_params_file',
    ),
}  # fmt: skip

HEAD = """\
# Parameters of {node}, with their defaults. Written by tools/write_parameters.py.
# The node of any namespace takes them: ros2 launch hybrik_ros {launch} {argument}:=...
# Parameters marked with * take effect when the node is configured, the others with the next frame.
/**:
  {node}:
    ros__parameters:
"""


def to_yaml(declared: Sequence[Parameter]) -> str:
    """Return the parameters of a YAML file."""
    lines = []
    for group, parameters in groupby(declared, lambda one: one.name.rpartition('.')[0]):
        depth = 3
        if group:
            lines.append(f'{depth * INDENT}{group}:')
            depth += 1
        for parameter in parameters:
            margin = depth * INDENT
            comment = textwrap.wrap(_meaning(parameter), WIDTH - len(margin) - 2)
            lines += [f'{margin}# {line}' for line in comment]
            name = parameter.name.rpartition('.')[2]
            lines.append(f'{margin}{name}: {_literal(parameter.default)}')
            if not group:
                lines.append('')
        if group:
            lines.append('')
    return '\n'.join(lines).rstrip() + '\n'


def to_markdown(declared: Sequence[Parameter], node: str) -> str:
    """Return a table of doc/parameters.md."""
    rows = [
        f'| `{one.name}` | {one.type} | `{_literal(one.default)}` | {_range(one)} '
        f'| {"next frame" if one.dynamic else "configure"} | {one.description} |'
        for one in declared
    ]
    head = [
        '| name | type | default | range | takes effect | meaning |',
        '|---|---|---|---|---|---|',
    ]
    return '\n'.join([BEGIN.format(node), *head, *rows, END])


def _meaning(parameter: Parameter) -> str:
    mark = '' if parameter.dynamic else '* '
    limits = _range(parameter)
    span = f' ({limits})' if limits and not parameter.choices else ''
    return f'{mark}{parameter.description.rstrip(".")}{span}.'


def _range(parameter: Parameter) -> str:
    if parameter.choices:
        return ', '.join(parameter.choices)
    if parameter.limits is None:
        return parameter.unit
    low, high = parameter.limits
    return f'{low:g} to {high:g} {parameter.unit}'.rstrip()


def _literal(value: Value | Names) -> str:
    if isinstance(value, tuple):
        return str(list(value))
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, float) else str(value) or "''"


def main() -> int:
    """Write the files, or only compare them; return 1 where they differ."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--check', action='store_true', help='change nothing')
    check = parser.parse_args().check
    page = ROOT / 'doc' / 'parameters.md'
    text = page.read_text()
    wanted = {}
    for node, (declared, name, *launched) in NODES.items():
        head = HEAD.format(node=node, launch=launched[0], argument=launched[1])
        wanted[ROOT / 'config' / name] = head + to_yaml(declared)
        before, _, rest = text.partition(BEGIN.format(node))
        text = before + to_markdown(declared, node) + rest.partition(END)[2]
    wanted[page] = text
    differing = [
        path
        for path, content in wanted.items()
        if not path.is_file() or path.read_text() != content
    ]
    for path in differing:
        if check:
            print(f'{path} is not what tools/write_parameters.py writes: run it', file=sys.stderr)
        else:
            path.write_text(wanted[path])
    return int(check and bool(differing))


if __name__ == '__main__':
    sys.exit(main())
