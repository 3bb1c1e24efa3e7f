"""Compiled functions, wherever they come from."""

from hybrik_ros.compiling import compiled

SOURCE = """
def double(x):
    return 2 * x
"""


def test_what_can_be_kept_nowhere_is_compiled_all_the_same() -> None:
    # numba finds no place for the code of a function that has no file.
    names: dict = {}
    exec(compile(SOURCE, '<nowhere>', 'exec'), names)
    double = compiled(names['double'])
    assert double(21) == 42
    assert double.signatures
