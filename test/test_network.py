"""HybrIK's networks against the published implementation, another HRNet, and theory."""

import subprocess
import sys
from copy import deepcopy
from typing import NamedTuple

import numpy as np
import pytest
import torch
from networks import DATA, golden_image, published_shapes, seeded_state
from numpy.typing import NDArray
from scipy import ndimage
from torch.nn.functional import conv2d
from torch.utils.flop_counter import FlopCounterMode

from hybrik_ros.network import HybrIKNet
from hybrik_ros.network.folding import fold_batch_norms
from hybrik_ros.network.soft_argmax import SoftArgmax


class Run(NamedTuple):
    """A network with the golden weights, and what it made of the golden images."""

    net: HybrIKNet
    heatmaps: torch.Tensor
    outputs: dict[str, torch.Tensor]
    gmac: float  # of the convolutions and linear layers, for one image


def run(architecture: str, batch: int) -> Run:
    net = HybrIKNet(architecture).eval()
    net.load_state_dict(seeded_state(architecture))
    heatmaps: list[torch.Tensor] = []
    final_layer = net.get_submodule(
        'final_layer' if architecture == 'res34' else 'preact.final_layer'
    )
    final_layer.register_forward_hook(lambda layer, given, output: heatmaps.append(output))
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        outputs = net(golden_image(batch))
    flops = counter.get_flop_counts()['Global']
    products = flops[torch.ops.aten.convolution] + flops[torch.ops.aten.addmm]
    return Run(net, heatmaps[0], outputs, products / 2e9 / batch)


@pytest.fixture(scope='module')
def res34() -> Run:
    return run('res34', batch=2)


@pytest.fixture(scope='module')
def hrw48() -> Run:
    return run('hrw48', batch=1)


@pytest.fixture(params=['res34', 'hrw48'])
def either(request: pytest.FixtureRequest) -> Run:
    return request.getfixturevalue(request.param)


def test_state_dict_is_the_published_one(either: Run) -> None:
    shapes = {key: tuple(value.shape) for key, value in either.net.state_dict().items()}
    assert shapes == published_shapes(either.net.architecture)


@pytest.mark.parametrize(
    ('fixture', 'million_parameters', 'gmac'), [('res34', 27.62, 8.21), ('hrw48', 75.69, 22.93)]
)
def test_size_is_the_published_one(
    request: pytest.FixtureRequest, fixture: str, million_parameters: float, gmac: float
) -> None:
    run = request.getfixturevalue(fixture)
    parameters = sum(weight.numel() for weight in run.net.parameters())
    assert parameters / 1e6 == pytest.approx(million_parameters, abs=0.005)
    assert run.gmac == pytest.approx(gmac, abs=0.005)


@pytest.mark.parametrize(
    ('output', 'tolerance'),
    [('uvd', 1e-4), ('shape', 1e-3), ('phi', 1e-3), ('cam', 1e-3), ('sigma', 1e-3)],
)
def test_resnet_gives_what_the_published_one_gives(
    res34: Run, output: str, tolerance: float
) -> None:
    golden = np.load(DATA / 'hybrik_net_res34.npz')
    np.testing.assert_allclose(res34.outputs[output], golden[output], rtol=0, atol=tolerance)


def test_hrnet_gives_what_the_one_of_timm_gives(hrw48: Run) -> None:
    timm = {
        name: torch.from_numpy(array)
        for name, array in np.load(DATA / 'timm_hrnet_w48.npz').items()
    }
    state, outputs = seeded_state('hrw48'), hrw48.outputs

    def linear(name: str) -> torch.Tensor:
        return timm['feature'] @ state[f'{name}.weight'].T + state[f'{name}.bias']

    wanted = {
        'shape': linear('decshape') + state['init_shape'],
        'phi': linear('decphi').reshape(1, 23, 2),
        'cam': linear('deccam') + state['init_cam'],
        'sigma': 1 / (1 + torch.exp(-linear('decsigma'))),
    }
    for name, value in wanted.items():
        torch.testing.assert_close(outputs[name], value, rtol=0, atol=1e-3, msg=name)
    final_layer = (state[f'preact.final_layer.{kind}'] for kind in ('weight', 'bias'))
    heatmaps = conv2d(timm['branch'], *final_layer)
    torch.testing.assert_close(hrw48.heatmaps[..., ::8, ::8], heatmaps, rtol=1e-4, atol=1e-2)


def soft_argmax(heatmaps: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the centres of mass of (N, 64, 64, 64), in double precision."""
    contrast = heatmaps.astype(np.float64)
    weights = np.exp(contrast - contrast.max((1, 2, 3), keepdims=True))
    centres = [ndimage.center_of_mass(volume)[::-1] for volume in weights]
    return np.array(centres) / 64 - 0.5


def test_uvd_are_centres_of_mass(either: Run) -> None:
    wanted = soft_argmax(either.heatmaps[0].reshape(29, 64, 64, 64).numpy())
    np.testing.assert_allclose(either.outputs['uvd'][0], wanted, rtol=0, atol=1e-5)


def test_soft_argmax_finds_a_voxel() -> None:
    heatmap = torch.zeros(1, 64, 64, 64)
    heatmap[0, 50, 7, 20] = 100
    torch.testing.assert_close(SoftArgmax(64)(heatmap), torch.tensor([[20, 7, 50]]) / 64 - 0.5)


def test_folding_batch_norms_changes_nothing_but_rounding(res34: Run) -> None:
    net = deepcopy(res34.net).double()
    with torch.no_grad():
        wanted = net(golden_image(1).double())
        fold_batch_norms(net)
        folded = net(golden_image(1).double())
    assert not [module for module in net.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for name, value in wanted.items():
        torch.testing.assert_close(folded[name], value, rtol=0, atol=1e-10, msg=name)


def test_other_architecture_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"res34, hrw48, not 'vit'"):
        HybrIKNet('vit')


def test_package_imports_without_torch() -> None:
    block = "import sys; sys.modules['torch'] = None"
    code = f'{block}\nimport hybrik_ros.network, hybrik_ros.cli, hybrik_ros.node.node'
    subprocess.run([sys.executable, '-c', code], check=True)
