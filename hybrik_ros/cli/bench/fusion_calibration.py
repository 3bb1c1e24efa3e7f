"""Extrinsics from the people in clips, as `hybrik calibrate` finds them."""

from collections.abc import Sequence
from dataclasses import replace

from hybrik_ros.cli.bench.fused_runs import world_from_camera
from hybrik_ros.cli.bench.runs import Run
from hybrik_ros.fusion.extrinsics import CameraPose, align_extrinsics, estimate_extrinsics


def calibrate(runs: Sequence[Run], stature: float) -> list[Run]:
    """Return the runs with extrinsics from their people, laid on the given ones.

    Parameters
    ----------
    runs : sequence of Run
        The runs of cameras over clips of the same time.
    stature : float
        Stature of the person in metres.
    """
    streams = {
        run.clip.name: [(number / run.clip.rate, seen) for number, seen in run.observations.items()]
        for run in runs
    }
    given = {run.clip.name: CameraPose(world_from_camera(run.clip), 0.0) for run in runs}
    found = align_extrinsics(estimate_extrinsics(streams, stature=stature), given)
    calibrated = []
    for run in runs:
        pose = found[run.clip.name]
        rotation = pose[:3, :3].T
        clip = replace(run.clip, extrinsics=(rotation, -rotation @ pose[:3, 3]))
        calibrated.append(replace(run, clip=clip))
    return calibrated
