"""What rosdep installs: packages of the system only, and on every distribution that we name."""

from pathlib import Path

import pytest
from catkin_pkg.package import Package, parse_package

from hybrik_ros.advice import package_advice

ROOT = Path(__file__).parents[1]
DISTRIBUTIONS = ('humble', 'jazzy', 'kilted')


def dependencies(distribution: str) -> set[str]:
    package: Package = parse_package(str(ROOT / 'package.xml'))
    package.evaluate_conditions({'ROS_DISTRO': distribution})
    groups = (
        package.buildtool_depends,
        package.build_depends,
        package.exec_depends,
        package.test_depends,
    )
    return {item.name for group in groups for item in group if item.evaluated_condition}


@pytest.mark.parametrize('distribution', DISTRIBUTIONS)
def test_rosdep_asks_pip_for_nothing(distribution: str) -> None:
    # pip would write over the system's numpy, or refuse where the system's Python is managed.
    keys = dependencies(distribution)
    assert 'python3-numpy' in keys
    assert [key for key in keys if key.endswith('-pip')] == []


def test_hri_msgs_is_wanted_and_advised_where_it_is_released(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wanted = {name for name in DISTRIBUTIONS if 'hri_msgs' in dependencies(name)}
    assert wanted == {'humble', 'jazzy'}
    for name in DISTRIBUTIONS:
        monkeypatch.setenv('ROS_DISTRO', name)
        command = f'sudo apt install ros-{name}-hri-msgs'
        assert (package_advice('hri_msgs') == command) == (name in wanted)
