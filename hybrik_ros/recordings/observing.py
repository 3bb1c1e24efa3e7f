"""What the pipeline observes of the people in a recording, for calibration and fusion."""

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import NamedTuple

from hybrik_ros.human import HumanObservation
from hybrik_ros.messages.fields import nanoseconds
from hybrik_ros.pipeline import Pipeline
from hybrik_ros.recordings.prefetch import read_ahead
from hybrik_ros.recordings.recording import Recording
from hybrik_ros.recordings.sources import open_source


class Observed(NamedTuple):
    """The people in the images of one camera.

    Attributes
    ----------
    stream : list of tuple
        Stamp in seconds and people of each image.
    notes : list of str
        Information for the user about the recording.
    """

    stream: list[tuple[float, Sequence[HumanObservation]]]
    notes: list[str]


def observe_people(
    recording: Recording,
    pipeline: Pipeline,
    progress: Callable[[int, int], None] = lambda done, length: None,
) -> Observed:
    """Return what a pipeline observes of the people in a recording.

    Parameters
    ----------
    recording : Recording
        The recording of one camera.
    pipeline : Pipeline
        The pipeline, which is reset before.
    progress : callable
        Called after each image with the number of images so far and their total.

    Raises
    ------
    RecordingError, MediaError, BagError, CalibrationError, OSError
        The recording cannot be read.
    """
    pipeline.reset()
    found = Observed([], [])
    done, last = 0, -1
    with open_source(recording) as source, closing(read_ahead(source.steps())) as steps:
        for step in steps:
            picture = step.picture
            done += step.is_image
            if picture is not None and (stamp := nanoseconds(picture.header)) > last:
                last = stamp
                pipeline(picture.rgb, picture.camera, stamp * 1e-9)
                found.stream.append((stamp * 1e-9, pipeline.human_observations))
            progress(done, max(done, source.length))
        found.notes.extend(source.notes)
    return found
