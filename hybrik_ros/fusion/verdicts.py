"""Which camera's error explains what cameras miss of people, by comparisons over time.

The error that explains most is blamed on its camera, taken off, and so on. Wrong extrinsics and
clocks show in all people: an error that makes it worse for one of them is that of a network.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from hybrik_ros.arrays import Array
from hybrik_ros.fusion.comparing import UNKNOWNS, Comparison

_MIN_SECONDS, _MIN_COMPARISONS = 1.0, 4  # of one person, before a camera is judged
# Length in metres of a mean offset, and delay in seconds, above which a camera is blamed; minimum
# of what that explains of its distance, root mean square in metres. Where all cameras are right,
# these are up to 16 mm, 15 ms and 8 mm (`hybrik bench fusion`).
_MAX_OFFSET, _MAX_DELAY, _MIN_EXPLAINED = 0.02, 0.03, 0.01
# Share of the best explanation from which on another camera's is as good: of two cameras, either
# one may be wrong.
_AS_GOOD = 0.7
# Information that offsets and delays are zero, as a share of that of all limbs; the speed in metres
# per second of limbs that tell as much of a delay as of an offset.
_ZERO_INFORMATION, _SPEED = 0.02, 0.5
_MIN_SPEED = 0.2  # root mean square, metres per second, of limbs that tell a clock
_POSE, _CLOCK = 0, 2  # where the unknowns of the pose, and of the clock, of a camera begin

Known = Sequence[tuple[float, Comparison]]  # comparisons of one person with stamps, in order


class Verdict(NamedTuple):
    """What people show of one camera.

    Attributes
    ----------
    distance : float
        Median distance in metres of its limbs from those by the others.
    offset : ndarray
        Mean offset (2) of its limbs in metres along x and y of its optical frame.
    delay : float
        Seconds by which it is late; NaN if people move too little.
    has_wrong_pose, has_wrong_clock : bool
        Whether wrong extrinsics, or a wrong clock, may explain what it misses.
    """

    distance: float
    offset: Array
    delay: float
    has_wrong_pose: bool
    has_wrong_clock: bool


class _Sums(NamedTuple):
    """Comparisons of P people by V cameras, added up; otherwise as Comparison."""

    information: Array  # (P, 3 V, 3 V)
    moment: Array  # (P, 3 V)
    weights: Array  # (P, V)

    def without(self, columns: slice, error: Array) -> '_Sums':
        """Return the sums after an error (k) of one camera, or (P, k), is taken off."""
        taken = self.information[:, :, columns] @ error[..., None]
        return self._replace(moment=self.moment - taken[..., 0])


class _Error(NamedTuple):
    """The most probable error of one camera, if all others were right.

    Attributes
    ----------
    columns : slice
        Which unknowns it is: those of the pose or the clock of the camera.
    value : ndarray
        Offset (2) in metres, or delay (1) in seconds.
    gain : float
        How much less is missed with it: square metres, times confidence.
    is_large : bool
        Whether it is larger than errors of networks.
    is_shared : bool
        Whether it makes it worse for no person.
    """

    columns: slice
    value: Array
    gain: float
    is_large: bool
    is_shared: bool


def judge(people: Iterable[Known]) -> dict[str, Verdict]:
    """Return what people show of each camera that saw one of them for long enough.

    Parameters
    ----------
    people : iterable
        The comparisons of each person.
    """
    people = list(people)
    names = sorted({name for known in people for _, each in known for name in each.cameras})
    sums = _add_up(people, names)
    errors, blamed = _explain(sums)
    verdicts = {}
    for v, name in enumerate(names):
        rows = [_distances_of(name, known) for known in people]
        if not any(_is_long(row) for row in rows):
            continue
        is_moving = bool(_find_moving(sums, v).any())
        verdicts[name] = Verdict(
            distance=float(np.median([distance for row in rows for _, distance in row])),
            offset=errors[v, _POSE].value,
            delay=float(errors[v, _CLOCK].value[0]) if is_moving else np.nan,
            has_wrong_pose=(v, _POSE) in blamed,
            has_wrong_clock=is_moving and (v, _CLOCK) in blamed,
        )
    return verdicts


def _distances_of(name: str, known: Known) -> list[tuple[float, float]]:
    """Return stamps and distances of one camera."""
    rows = [(stamp, float(each.distances[each.cameras.index(name)])) for stamp, each in known
            if name in each.cameras]  # fmt: skip
    return [row for row in rows if np.isfinite(row[1])]


def _is_long(rows: Sequence[tuple[float, float]]) -> bool:
    return len(rows) >= _MIN_COMPARISONS and rows[-1][0] - rows[0][0] >= _MIN_SECONDS


def _add_up(people: Sequence[Known], names: Sequence[str]) -> _Sums:
    count, size = len(people), UNKNOWNS * len(names)
    sums = _Sums(
        np.zeros((count, size, size)), np.zeros((count, size)), np.zeros((count, len(names)))
    )
    for p, known in enumerate(people):
        for _, each in known:
            at = np.array([names.index(name) for name in each.cameras])
            columns = (UNKNOWNS * at[:, None] + np.arange(UNKNOWNS)).ravel()
            sums.information[p][np.ix_(columns, columns)] += each.information
            sums.moment[p, columns] += each.moment
            sums.weights[p, at] += each.weights
    return sums


_Key = tuple[int, int]  # index of the camera; _POSE or _CLOCK


def _explain(sums: _Sums) -> tuple[dict[_Key, _Error], set[_Key]]:
    """Return the errors of each camera, and which of them are blamed."""
    errors: dict[_Key, _Error] = {}
    explained, blamed = set[_Key](), set[_Key]()
    while True:
        keys: list[_Key] = [
            (v, kind) for v in range(sums.weights.shape[1]) for kind in (_POSE, _CLOCK)
        ]
        found: dict[_Key, _Error] = {
            key: _find_error(sums, *key) for key in keys if key not in explained
        }
        errors |= found
        large = [key for key, each in found.items() if each.is_large]
        if not large:
            return errors, blamed
        first = max(large, key=lambda key: found[key].gain)
        best = found[first]
        alike = {key for key, each in found.items()
                 if key[1] == first[1] and each.gain >= _AS_GOOD * best.gain}  # fmt: skip
        explained |= alike
        if best.is_shared:
            blamed |= alike
            sums = sums.without(best.columns, best.value)
        else:  # an error of the network, another one for each person
            information, moment = _equations(sums, *first)
            own = np.asarray(np.linalg.solve(information, moment[..., None])[..., 0])
            sums = sums.without(best.columns, own)


def _find_moving(sums: _Sums, camera: int) -> Array:
    """Return which people (P) move enough to tell the clock of a camera."""
    clock = UNKNOWNS * camera + _CLOCK
    weights = sums.weights[:, camera]
    # With two cameras, half of the information tells where the limbs are.
    enough = sums.information[:, clock, clock] > _MIN_SPEED**2 * weights / 2
    return np.asarray(enough & (weights > 0))


def _find_error(sums: _Sums, camera: int, kind: int) -> _Error:
    information, moment = _equations(sums, camera, kind)
    value = np.linalg.solve(information.sum(axis=0), moment.sum(axis=0))
    gain = float(value @ moment.sum(axis=0))
    weights = sums.weights[:, camera]
    if kind == _CLOCK:
        weights = weights * _find_moving(sums, camera)
    # How much less is missed of each person.
    own = (2 * moment - information @ value) @ value
    limit = _MAX_OFFSET if kind == _POSE else _MAX_DELAY
    is_long = float(np.linalg.norm(value)) > limit
    return _Error(
        columns=_columns(camera, kind),
        value=value,
        gain=gain,
        is_large=is_long and gain > _MIN_EXPLAINED**2 * float(weights.sum()),
        is_shared=bool(((own >= -(_MIN_EXPLAINED**2) * weights) | (weights == 0)).all()),
    )


def _columns(camera: int, kind: int) -> slice:
    end = UNKNOWNS if kind == _CLOCK else _CLOCK
    return slice(UNKNOWNS * camera + kind, UNKNOWNS * camera + end)


def _equations(sums: _Sums, camera: int, kind: int) -> tuple[Array, Array]:
    """Return the normal equations (P, k, k), (P, k) of one error by each person."""
    columns = _columns(camera, kind)
    information = sums.information[:, columns, columns]
    scale = _ZERO_INFORMATION * (_SPEED**2 if kind == _CLOCK else 1.0)
    zero = scale * np.maximum(sums.weights[:, camera], 1.0)
    size = columns.stop - columns.start
    return information + zero[:, None, None] * np.eye(size), sums.moment[:, columns]
