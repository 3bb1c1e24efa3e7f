"""Reading of checkpoints: what is published, what is damaged, and what is hostile."""

import pickle
from pathlib import Path

import pytest
import torch
from networks import published_shapes, seeded_state

from hybrik_ros.network import load_checkpoint
from hybrik_ros.network.checkpoint import CheckpointError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / 'hybrik.pth'


def hollow_state(architecture: str) -> dict[str, torch.Tensor]:
    """Return a state dict of zeros that takes next to no room on disk."""
    shapes = published_shapes(architecture)
    return {key: torch.zeros(()).expand(shape) for key, shape in shapes.items()}


@pytest.mark.parametrize('key', [None, 'model'])
def test_published_layouts_load(path: Path, key: str | None) -> None:
    state = seeded_state('res34')
    published = {**state, 'smpl.J_regressor': torch.ones(24, 6890)}
    torch.save({key: published, 'epoch': 3} if key else published, path)
    net = load_checkpoint(path)
    assert not net.training
    loaded = net.state_dict()
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[key], value) for key, value in state.items())


@pytest.mark.parametrize('architecture', ['res34', 'hrw48'])
def test_architecture_is_seen_from_the_keys(path: Path, architecture: str) -> None:
    torch.save(hollow_state(architecture), path)
    assert load_checkpoint(path).architecture == architecture


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'fc1.bias': None}, r'ResNet-34 network: missing: fc1\.bias$'),
        ({'preact.fc.bias': torch.ones(2)}, r'ResNet-34 network: unexpected: preact\.fc\.bias$'),
        (
            {'init_cam': torch.ones(1)},
            r'ResNet-34 network: of wrong shape: init_cam \(1,\) instead of \(3,\)$',
        ),
        ({'decphi.weight': None, 'decphi.bias': None, 'decpi.bias': torch.ones(46)},
         r'missing: decphi\.weight, decphi\.bias; unexpected: decpi\.bias$'),
        ({'decphi.bias': [0.0] * 46}, r"'decphi.bias' is not a tensor"),
        ({'init_cam': torch.full((3,), torch.nan)}, r'network: not finite: init_cam$'),
        ({'init_cam': torch.ones(3) * 1j}, r'network: not of real numbers: init_cam$'),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(path: Path, changes: dict[str, object], message: str) -> None:
    state = {**hollow_state('res34'), **changes}
    torch.save({key: value for key, value in state.items() if value is not None}, path)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(path)


def test_many_faults_are_counted(path: Path) -> None:
    torch.save({'head.weight': torch.ones(3)}, path)
    missing = len(published_shapes('res34'))
    with pytest.raises(CheckpointError, match=rf'and {missing - 5} more; unexpected: head\.weight'):
        load_checkpoint(path)


class Attack:
    """Creates a file where it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple:
        return Path.touch, (self.target,)


@pytest.mark.parametrize(
    'save', [torch.save, lambda content, path: path.write_bytes(pickle.dumps(content, protocol=2))]
)
def test_code_in_a_checkpoint_is_refused_and_does_not_run(path: Path, save) -> None:
    target = path.with_name('attacked')
    save({**hollow_state('res34'), 'fc1.bias': Attack(target)}, path)
    with pytest.raises(CheckpointError, match=r'hybrik\.pth .*a pickle can run code'):
        load_checkpoint(path)
    assert not target.exists()
    # The attack itself is in order.
    torch.load(path, weights_only=False) if save is torch.save else pickle.loads(path.read_bytes())
    assert target.exists()


@pytest.mark.parametrize('content', [b'', b'<html>Quota exceeded</html>', b'PK\x03\x04 cut off'])
def test_what_is_no_checkpoint_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r'hybrik\.pth'):
        load_checkpoint(path)


def test_list_is_no_state_dict(path: Path) -> None:
    torch.save([torch.ones(2)], path)
    with pytest.raises(CheckpointError, match='contains no state dict, but a list'):
        load_checkpoint(path)


def test_missing_file_is_told(path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r'hybrik\.pth'):
        load_checkpoint(path)
