"""How reliable the confidence of bodies is: what it promises against what is measured."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from hybrik_ros.cli.bench.covering import Excerpt, excerpts
from hybrik_ros.cli.bench.footage import Clip, Image
from hybrik_ros.cli.bench.marks import has_background
from hybrik_ros.cli.bench.truth import Truth
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
    """

    confidence: float
    near: float
    seen: float


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
                    near = float((truth.distances(number, human) < _NEAR).mean())
                    seen = float((human.joint_confidence > 0).mean())
                    yield Sample(human.confidence, near, seen)


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
        under half of their joints seen, expected calibration error, and the bins.
    """
    confidence, near, seen = np.array(samples, float).reshape(-1, 3).T
    bins = _bin(samples)
    gaps = [row['bodies'] * abs(row['confidence'] - row['measured']) for row in bins.values()]
    hidden = confidence[seen < _HALF]
    return {
        'bodies': len(samples),
        'confidence': float(confidence.mean()) if samples else math.nan,
        'measured': float(near.mean()) if samples else math.nan,
        'correlation with seen': _correlation(confidence, seen),
        'correlation with measured': _correlation(confidence, near),
        'bodies under half seen': len(hidden),
        'confidence under half seen': float(np.median(hidden)) if len(hidden) else math.nan,
        'calibration error': sum(gaps) / len(samples) if samples else math.nan,
        'bins': bins,
    }


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
