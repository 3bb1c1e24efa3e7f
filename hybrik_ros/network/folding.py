"""Folding of batch normalisation into convolutions, which computes the same in fewer steps."""

from itertools import pairwise

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold_batch_norms(net: nn.Module) -> None:
    """Fold every batch normalisation of a network into the convolution before it.

    Fold in FP32, before a conversion to FP16, in which small variances become zero.

    Parameters
    ----------
    net : Module
        Network in eval mode; changed in place.
    """
    for parent in net.modules():
        for (name, layer), (next_name, following) in pairwise(list(parent.named_children())):
            if isinstance(following, nn.BatchNorm2d):
                assert isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)
                transposed = isinstance(layer, nn.ConvTranspose2d)
                setattr(parent, name, fuse_conv_bn_eval(layer, following, transposed))
                setattr(parent, next_name, nn.Identity())
