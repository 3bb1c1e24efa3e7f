"""The command line that all commands share."""

from pathlib import Path

import pytest

from hybrik_ros.arguments import split_ros_arguments
from hybrik_ros.cli import main


@pytest.mark.parametrize(
    ('argv', 'own', 'ros'),
    [
        (['video', 'a.mp4'], ['video', 'a.mp4'], []),
        (['video', '--ros-args', '-r', 'a:=b'], ['video'], ['--ros-args', '-r', 'a:=b']),
        (
            ['video', '--ros-args', '-r', 'a:=b', '--', 'c.mp4', '--ros-args', '-p', 'd:=1'],
            ['video', 'c.mp4'],
            ['--ros-args', '-r', 'a:=b', '--', '--ros-args', '-p', 'd:=1'],
        ),
        (['video', '--', '-c.mp4'], ['video', '--', '-c.mp4'], []),
    ],
)
def test_split_ros_arguments(argv: list[str], own: list[str], ros: list[str]) -> None:
    assert split_ros_arguments(argv) == (own, ros)


@pytest.mark.parametrize(
    'line',
    [
        'bag {} -o out',
        'bag walk.mp4 {} -o out',
        'bag walk.mp4 -o {}',
        'bag walk.mp4 -o out --camera-info {}',
        'image {}',
        'image photo.jpg -o {}',
        'image photo.jpg --camera-info {}',
        'demo --input {}',
        'demo --output {}',
        'video {}',
        'video --camera-info {}',
        'motion {} -o walk.bvh',
        'motion walk -o {}',
        'motion walk -o walk.bvh --body {}',
        'compare {} walk',
        'compare walk {}',
        'compare walk walk --plot {}',
        'doctor {}',
        'doctor --image {}',
        'doctor --model {}',
        'doctor --body {}',
        'export {}',
        'export hybrik.pth -o {}',
        'export hybrik.pth --calibration {}',
        'engine build {}',
        'bench kinematics --output {}',
        'bench perception --footage {}',
        'bench perception --pictures {}',
        'bench fusion --footage {}',
        'bench fusion --pictures {}',
    ],
)
def test_an_empty_name_is_refused(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main(['' if word == '{}' else word for word in line.split()])
    assert stopped.value.code == 2
    assert 'must not be empty' in capsys.readouterr().err


def test_unknown_command_is_refused_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(['fly'])
    assert stopped.value.code == 2
    assert 'fly' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('argv', 'name'),
    [
        (['doctor', '--seconds', 'x'], 'seconds'),
        (['engine', 'build', '--side', 'x'], 'side'),
        (['bench', 'soak', '--minutes', 'x'], 'minutes'),
        (['bench', 'bag', '--minutes', 'x'], 'optional_minutes'),
        (['bag', 'a', '-o', 'b', '--rate', 'x'], 'rate'),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_errors_of_arguments_name_what_is_wanted(
    argv: list[str], name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(argv)
    assert f"invalid {name} value: 'x'" in capsys.readouterr().err
