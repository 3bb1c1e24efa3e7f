"""SMPL-shaped bodies: rest joints, vertices, and shape from bone lengths."""

from hybrik_ros.body.model import DEFAULT_BODY, BodyModel
from hybrik_ros.body.betas import fit_betas

__all__ = ['DEFAULT_BODY', 'BodyModel', 'fit_betas']
