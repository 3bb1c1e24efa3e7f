"""Reading of files that may be damaged or hostile: only regular files, with limits of size."""

import json
import os
import reprlib
import stat
from pathlib import Path
from types import UnionType
from typing import Any, BinaryIO, TypeVar, get_args, get_origin, get_type_hints

import yaml

from hybrik_ros.limits import MAX_JSON_BYTES, MAX_YAML_BYTES

Record = TypeVar('Record')

# Maximum of an integer in YAML. Python refuses to print those of more than 4300 digits.
_MAX_INT_BYTES = 1700


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading; never wait for a pipe or a device.

    Parameters
    ----------
    path : Path
        The file.

    Raises
    ------
    OSError
        It cannot be opened, or is a folder, a pipe, a socket or a device.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        check_regular(path, os.fstat(descriptor))
        return os.fdopen(descriptor, 'rb')
    except BaseException:
        os.close(descriptor)
        raise


def check_regular(path: Path, status: os.stat_result | None = None) -> None:
    """Raise an OSError if a path is not a regular file.

    Parameters
    ----------
    path : Path
        The path.
    status : stat_result, optional
        What os.stat returned; read by default.
    """
    status = path.stat() if status is None else status
    if not stat.S_ISREG(status.st_mode):
        raise OSError(f'{path} is not a regular file, but {_kind_of(status.st_mode)}')


def _kind_of(mode: int) -> str:
    kinds = {
        stat.S_ISDIR: 'a folder', stat.S_ISFIFO: 'a pipe', stat.S_ISSOCK: 'a socket',
        stat.S_ISCHR: 'a device', stat.S_ISBLK: 'a device',
    }  # fmt: skip
    return next((kind for is_kind, kind in kinds.items() if is_kind(mode)), 'something else')


def describe_unreadable(path: Path, error: OSError) -> str:
    """Return why a file cannot be read, with its name, by the error of reading it."""
    if isinstance(error, FileNotFoundError):
        if path.is_symlink():
            return f'{path} is a link to {os.readlink(path)}, which does not exist: correct it'
        return f'{path} does not exist: check the path'
    return f'{path} cannot be read: {error.strerror}' if error.strerror else str(error)


def read_regular(path: Path, max_bytes: int) -> bytes:
    """Return the content of a regular file.

    Parameters
    ----------
    path : Path
        The file.
    max_bytes : int
        Maximum size in bytes.

    Raises
    ------
    OSError
        The file cannot be read, or is not a regular file.
    ValueError
        The file is larger than the maximum.
    """
    with open_regular(path) as file:
        is_larger = os.fstat(file.fileno()).st_size > max_bytes
        content = b'' if is_larger else file.read(max_bytes + 1)
    if content is None:  # Some files of the kernel wait for content.
        raise OSError(f'{path} has nothing to read now')
    if is_larger or len(content) > max_bytes:  # Files of the kernel have no size.
        raise ValueError(f'{path} has more than the maximum of {max_bytes} bytes')
    return content


def parse_json(content: bytes) -> Any:
    """Return what JSON says.

    Raises
    ------
    ValueError
        It is not JSON, too long, or too deeply nested.
    """
    if len(content) > MAX_JSON_BYTES:
        raise ValueError(f'it has more than the maximum of {MAX_JSON_BYTES} bytes')
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError('it is too deeply nested') from None


def create_record(kind: type[Record], content: object) -> Record:
    """Return a dataclass with the values of a JSON object, checked against its annotations.

    Parameters
    ----------
    kind : type
        The dataclass. Its fields are plain values, lists and dictionaries of such.
    content : object
        What `parse_json` returned.

    Raises
    ------
    ValueError
        The content is not an object with these names, or a value has another type.
    """
    if not isinstance(content, dict):
        raise ValueError(f'it must be a JSON object, not {reprlib.repr(content)}')
    kinds = get_type_hints(kind)
    for name, value in content.items():
        if name not in kinds or not _conforms(value, kinds[name]):
            raise ValueError(f'{reprlib.repr(name)} must not be {reprlib.repr(value)}')
    try:
        return kind(**content)
    except TypeError as error:  # A field without default is missing.
        raise ValueError(str(error)) from error


def _conforms(value: object, kind: Any) -> bool:
    """Return whether a value read from JSON is of an annotated type."""
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Any:
        return True
    if origin is UnionType:
        return any(_conforms(value, one) for one in arguments)
    if origin is list:
        return isinstance(value, list) and all(_conforms(item, arguments[0]) for item in value)
    if origin is dict:
        return isinstance(value, dict) and all(_conforms(v, arguments[1]) for v in value.values())
    return type(value) is kind


def parse_yaml(text: str | bytes) -> Any:
    """Return what YAML says, without anchors: a few aliases can stand for billions of values.

    Raises
    ------
    ValueError
        It is not YAML, too long, too deeply nested, or has an anchor.
    """
    if len(text) > MAX_YAML_BYTES:
        raise ValueError(f'it has more than the maximum of {MAX_YAML_BYTES} bytes')
    try:
        return yaml.load(text, _Loader)  # A SafeLoader.
    except RecursionError:
        raise ValueError('it is too deeply nested') from None
    except yaml.YAMLError as error:
        raise ValueError(' '.join(str(error).split())) from error
    except Exception as error:  # PyYAML converts escapes and versions without checks.
        raise ValueError('it is not YAML: an escape or a version is out of range') from error


class _Loader(yaml.SafeLoader):
    """Refuses anchors, and with them aliases; says which value does not fit its type."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()
        if getattr(event, 'anchor', None) is not None:
            raise yaml.MarkedYAMLError(
                problem='anchors and aliases are not supported', problem_mark=event.start_mark
            )
        return super().compose_node(parent, index)

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        try:
            found = super().construct_object(node, deep)
            if isinstance(found, int):
                found.to_bytes(_MAX_INT_BYTES, 'big', signed=True)
            return found
        except (yaml.YAMLError, RecursionError):
            raise
        except Exception as error:  # PyYAML raises nearly any type for wrong values of its tags.
            raise yaml.MarkedYAMLError(
                problem=f'{reprlib.repr(node.value)} ({len(node.value)} characters) cannot be read '
                f'as {node.tag.rpartition(":")[2]}',
                problem_mark=node.start_mark,
            ) from error
