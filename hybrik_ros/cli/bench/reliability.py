"""How reliable the confidence of bodies is: what it promises against what is measured."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from hybrik_ros.cli.bench.covering import Excerpt, excerpts
from hybrik_ros.cli.bench.footage import Clip, Image
from hybrik_ros.cli.bench.marks import has_background
from hybrik_ros.cli.bench.truth import Truth
from hybrik_ros.confidence import MAIN_JOINTS
from hybrik_ros.human import Human
from hybrik_ros.pipeline import Pipeline

_NEAR = 0.15  # maximum distance in metres of a joint near its true place, across the line of sight
# Maximum distance in metres of the hips of a body from those of its person, across the line of
# sight, and maximum ratio of their depths where another man stands behind: his is 1.5 to 1.8.
_MAX_MISS = 0.6
_MAX_DEPTH_RATIO = 1.4
_NUM_BINS = 10
_STEP = 3  # every how many frames of a clip are used
_HALF = 0.5


class Sample(NamedTuple):
    """A body.

    Attributes
    ----------
    confidence : float
        Its confidence.
    near : float
        Share of the 12 main joints that are near their true place.
    seen : float
        Share of all joints that are seen.
    hidden, hidden_seen : int
        Number of main joints that the picture does not show, and of those that count as seen.
    joints_seen : int
        Number of main joints that count as seen.
    joint_confidence, joints_near : float
        Sum of their confidences, and the number of those near their true place.
    """

    confidence: float
    near: float
    seen: float
    hidden: int = 0
    hidden_seen: int = 0
    joints_seen: int = 0
    joint_confidence: float = 0.0
    joints_near: float = 0.0


def collect(
    console: Console, pipeline: Pipeline, clips: Sequence[Clip], people: Mapping[str, list[Truth]]
) -> dict[str, list[Sample]]:
    """Return the bodies that the pipeline finds in whole and partly visible people, by excerpt.

    Parameters
    ----------
    console : Console
        Console for the progress.
    pipeline : Pipeline
        The pipeline.
    clips : sequence of Clip
        Clips of which the true joints are known.
    people : mapping
        Ground truth of all people, by name of the clip.
    """
    samples: dict[str, list[Sample]] = {}
    for clip in track(clips, 'Measuring confidence', console=console, transient=True):
        truths = people[clip.name]
        frames = [(number, picture) for number, picture in clip.frames() if number % _STEP == 0]
        known = [t.joints[n] for n, _ in frames for t in truths if t.is_known(n)]
        pixels = clip.camera.project(np.mean(known, axis=0))
        for excerpt in excerpts(pixels, clip.camera.width, clip.camera.height):
            found = _run(pipeline, clip, excerpt, frames, truths)
            samples.setdefault(excerpt.name, []).extend(found)
    return samples


def _run(
    pipeline: Pipeline,
    clip: Clip,
    excerpt: Excerpt,
    frames: Sequence[tuple[int, Image]],
    people: Sequence[Truth],
) -> Iterator[Sample]:
    """Yield the bodies found in a excerpt of a clip's frames."""
    camera = excerpt.camera(clip.camera)
    pipeline.reset()
    for number, picture in frames:
        humans = pipeline(excerpt.picture(picture), camera, number / clip.rate)
        if all(truth.is_known(number) for truth in people):
            for human in humans:
                truth = min(people, key=lambda each: each.distances(number, human).mean())
                if not _is_other(clip, *truth.hip_offset(number, human)):
                    near = truth.distances(number, human) < _NEAR
                    hidden = excerpt.hides(clip.camera.project(truth.joints[number]))
                    yield _sample(human, near, hidden)


def _sample(human: Human, near: NDArray[np.bool_], hidden: NDArray[np.bool_]) -> Sample:
    """Return what is measured of a body, given which main joints (12) are near and hidden."""
    confidence = human.joint_confidence[MAIN_JOINTS]
    seen = confidence > 0
    return Sample(
        confidence=human.confidence,
        near=float(near.mean()),
        seen=float((human.joint_confidence > 0).mean()),
        hidden=int(hidden.sum()),
        hidden_seen=int((hidden & seen).sum()),
        joints_seen=int(seen.sum()),
        joint_confidence=float(confidence.sum()),
        joints_near=int((near & seen).sum()),
    )


def _is_other(clip: Clip, miss: float, depth_ratio: float) -> bool:
    """Return whether a body is of another person than the one whose hips are so far away."""
    return miss > _MAX_MISS or (has_background(clip) and depth_ratio > _MAX_DEPTH_RATIO)


def summarise(samples: Sequence[Sample]) -> dict[str, Any]:
    """Return the reliability of the confidences of bodies.

    Parameters
    ----------
    samples : sequence of Sample
        The bodies.

    Returns
    -------
    dict
        Number of bodies, means, correlations of the confidence, median confidence of bodies with
        under half of their joints seen, expected calibration error, the share of hidden joints
        that count as seen, mean confidence and share near of joints that do, and the bins.
    """
    table = np.array(samples, float).reshape(-1, len(Sample._fields))
    confidence, near, seen = table[:, :3].T
    hidden, hidden_seen, joints_seen, joint_confidence, joints_near = table[:, 3:].sum(axis=0)
    bins = _bin(samples)
    gaps = [row['bodies'] * abs(row['confidence'] - row['measured']) for row in bins.values()]
    doubtful = confidence[seen < _HALF]
    return {
        'bodies': len(samples),
        'confidence': float(confidence.mean()) if samples else math.nan,
        'measured': float(near.mean()) if samples else math.nan,
        'correlation with seen': _correlation(confidence, seen),
        'correlation with measured': _correlation(confidence, near),
        'bodies under half seen': len(doubtful),
        'confidence under half seen': float(np.median(doubtful)) if len(doubtful) else math.nan,
        'calibration error': sum(gaps) / len(samples) if samples else math.nan,
        'hidden joints': int(hidden),
        'share of them counted as seen': _ratio(hidden_seen, hidden),
        'joint confidence': _ratio(joint_confidence, joints_seen),
        'joints near': _ratio(joints_near, joints_seen),
        'bins': bins,
    }


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else math.nan


def _bin(samples: Sequence[Sample]) -> dict[str, dict[str, Any]]:
    """Return number, mean confidence and measured share of the bodies in each bin of confidence."""
    bins: dict[int, list[Sample]] = {}
    for sample in samples:
        # A confidence of 0.3 is in the bin that begins there, in spite of rounding.
        index = min(math.floor(_NUM_BINS * sample.confidence + 1e-9), _NUM_BINS - 1)
        bins.setdefault(index, []).append(sample)
    return {
        f'{index / _NUM_BINS:.1f} to {(index + 1) / _NUM_BINS:.1f}': {
            'bodies': len(bins[index]),
            'confidence': float(np.mean([sample.confidence for sample in bins[index]])),
            'measured': float(np.mean([sample.near for sample in bins[index]])),
        }
        for index in sorted(bins)
    }


def _correlation(first: Sequence[float], second: Sequence[float]) -> float:
    """Return the correlation; NaN where one of them does not vary."""
    if len(first) < 2 or not np.std(first) or not np.std(second):
        return math.nan
    return float(np.corrcoef(first, second)[0, 1])


def print_reliability(
    console: Console, total: Mapping[str, Any], by_excerpt: Mapping[str, Mapping[str, Any]]
) -> None:
    """Print the tables of bins and of excerpts, and the overall figures."""
    columns = ('bodies', 'confidence', 'measured')
    for title, rows in (
        ('Reliability of confidence', total['bins']),
        ('Partly visible', by_excerpt),
    ):
        table = Table('confidence' if rows is total['bins'] else 'people', *columns, title=title)
        for name, row in rows.items():
            table.add_row(name, str(row['bodies']), *(f'{row[key]:.2f}' for key in columns[1:]))
        console.print(table)
    console.print(
        'confidence: mean; measured: mean share of the 12 main joints within '
        f'{100 * _NEAR:.0f} cm of their true place, across the line of sight. Correlation of the '
        f'confidence with the share of joints seen: {total["correlation with seen"]:.2f}, with the '
        f'measured share: {total["correlation with measured"]:.2f}. Median confidence of the '
        f'{total["bodies under half seen"]} bodies with under half of their joints seen: '
        f'{total["confidence under half seen"]:.2f}. Expected calibration error: '
        f'{total["calibration error"]:.3f}'
    )
    console.print(
        f'Joints: {total["share of them counted as seen"]:.0%} of {total["hidden joints"]} hidden '
        f'ones count as seen. Mean confidence of seen ones: {total["joint confidence"]:.2f}, share '
        f'of them near their true place: {total["joints near"]:.2f}'
    )
