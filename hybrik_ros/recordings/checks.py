"""Checks of `hybrik doctor` of a recording: its first images or people."""

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from hybrik_ros.bags import BagReader, Topic
from hybrik_ros.bags.people_reader import read_people
from hybrik_ros.camera import ASSUMED_FIELD_OF_VIEW
from hybrik_ros.findings import OK, PROBLEM, WARNING, Finding
from hybrik_ros.messages.fields import nanoseconds
from hybrik_ros.messages.people import HUMAN_MESH, HUMAN_MESH_ARRAY
from hybrik_ros.messages.stamp_order import find_odd_step, find_standstill
from hybrik_ros.recordings.confirmation import ConfirmationCheck
from hybrik_ros.recordings.recording import Recording, is_bag
from hybrik_ros.recordings.sources import IMAGE_TYPES, Picture, PictureSource, open_source
from hybrik_ros.settings import Settings
from hybrik_ros.tracking import MAX_INTERVAL

_MAX_STEPS = 300  # messages or images that are read
_MAX_PEOPLE = 3000  # messages of people, or people in them, that are read within about a second
_ADVICE = 'look at the file with the program that made it, and record or export it anew'


def check_recording(path: Path) -> Iterator[Finding]:
    """Check that the images of a recording and their calibration can be used.

    Parameters
    ----------
    path : Path
        A bag, a video or a folder of images.
    """
    topics = _find_topics(path)
    kinds = {topic.type_name for topic in topics.values()}
    people = [t for t in topics.values() if t.type_name in (HUMAN_MESH, HUMAN_MESH_ARRAY)]
    for topic in people:
        yield from _check_people(path, topic)
    if people and not IMAGE_TYPES & kinds:
        return  # It has no images to process.
    said: set[str] = set()
    # The images of a bag without camera_info are checked too.
    for recording in (Recording(path), Recording(path, field_of_view=ASSUMED_FIELD_OF_VIEW)):
        try:
            with open_source(recording) as source:
                yield from _check_images(path.name, source)
                return
        except (ValueError, OSError) as error:  # All errors of recordings are ValueErrors.
            text = str(error).removeprefix(f'{path} ')
            if text not in said:
                yield Finding.of(PROBLEM, path.name, text, _ADVICE)
            said.add(text)


def _find_topics(path: Path) -> dict[str, Topic]:
    """Return the topics of a bag by name; empty if there is no readable bag."""
    try:
        if is_bag(path):
            with BagReader(path) as reader:
                return reader.topics
    except (ValueError, OSError):  # The checks of its images tell why.
        pass
    return {}


def _check_people(path: Path, topic: Topic) -> Iterator[Finding]:
    """Check the first messages of people of a bag, as `hybrik motion` reads them."""
    people = read_people(path, topic.name, _MAX_PEOPLE)
    for line in people.report():
        yield Finding(
            WARNING, path.name, f'{topic.name}: left out: {line}',
            'correct the program that published it; the other messages can be used',
        )  # fmt: skip
    ids = {human.id for frame in people.frames.values() for human in frame}
    found = f'{topic.name}: {len(people.frames)} frames with {len(ids)} people'
    if not people.is_whole:
        found += f' in the first {people.num_messages} of {topic.length} messages'
    if ids:
        yield Finding(OK, path.name, found)
        return
    advice = 'record it while people are in view'
    if not people.is_whole:
        advice = f'hybrik motion reads the other messages too; if they have no people, {advice}'
    yield Finding(WARNING, path.name, found, advice)


def _check_images(subject: str, source: PictureSource) -> Iterator[Finding]:
    """Read the first images of a source."""
    pictures: list[Picture] = []
    faults: Counter[str] = Counter()
    reasons: dict[str, str] = {}
    steps = source.steps()
    for step in islice(steps, _MAX_STEPS):
        if step.picture is not None:
            # A copy of no pixels: a view would keep all of them.
            pictures.append(step.picture._replace(rgb=step.picture.rgb[:0].copy()))
        if step.fault is not None:
            faults[step.fault.kind] += 1
            reasons[step.fault.kind] = step.fault.reason
    is_whole = next(steps, None) is None
    level = WARNING if pictures else PROBLEM
    for kind, count in faults.items():
        yield Finding.of(level, subject, f'{count} x {reasons[kind]}', _ADVICE)
    for kind, count in source.faults.items():
        yield Finding(WARNING, subject, f'{count} x {kind}', _ADVICE)
    for note in source.notes:
        yield Finding.of(WARNING, subject, note, 'see doc/recordings.md')
    if not all(picture.header.frame_id for picture in pictures):
        yield Finding(
            WARNING, subject, 'images have no frame_id, so TF is not written for their people',
            'set the frame_id among the parameters of the camera driver',
        )  # fmt: skip
    if not pictures and not faults:
        where = '' if is_whole else f' among the first {_MAX_STEPS} messages'
        yield Finding(PROBLEM, subject, f'no images{where}', _ADVICE)
    if not pictures:
        return
    camera, first = pictures[0].camera, '' if is_whole else 'the first '
    size = f'{camera.width} x {camera.height} pixels'
    amount = 'one image' if len(pictures) == 1 else f'{first}{len(pictures)} images'
    if source.are_photos:
        alone = '' if len(pictures) == 1 else ', each processed alone, the first one'
        yield Finding(OK, subject, f'{amount}{alone} of {size}')
    else:
        stamps = [nanoseconds(picture.header) for picture in pictures]
        yield from _check_stamps(subject, f'{amount} of {size}', stamps)


def _check_stamps(subject: str, images: str, stamps: list[int]) -> Iterator[Finding]:
    """Check that people can be followed from image to image, described by images."""
    if fault := find_standstill(stamps):
        yield Finding.of(PROBLEM, subject, fault)
        return
    if fault := find_odd_step(stamps):
        yield Finding.of(WARNING, subject, fault)
    confirmation = ConfirmationCheck(Settings().confirm_after)
    for stamp in stamps:
        confirmation.add(stamp * 1e-9)
    steps = np.diff(stamps)
    interval = float(np.median(steps[steps > 0])) * 1e-9 if (steps > 0).any() else 0.0
    found = f'{images}, {interval:.3g} s apart'
    if doubt := confirmation.describe():
        yield Finding.of(WARNING, subject, doubt, _ADVICE)
    elif interval >= MAX_INTERVAL:
        yield Finding(
            WARNING, subject, found,
            f'people are found by two images that are less than {MAX_INTERVAL:g} s apart: record '
            'at a higher rate, or set -p tracking.confirm_after:=0',
        )  # fmt: skip
    else:
        yield Finding(OK, subject, found)
