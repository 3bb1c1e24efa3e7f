"""Bodies with SMPL's structure: rest joints, vertices, and shape from bone lengths."""

from hybrik_ros.body.betas import fit_betas
from hybrik_ros.body.model import DEFAULT_BODY, BodyModel

__all__ = ['DEFAULT_BODY', 'BodyModel', 'fit_betas']
