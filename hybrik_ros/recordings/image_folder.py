"""The images of a folder: which of its files are read, and notes on those that are left out."""

from pathlib import Path

from hybrik_ros.bags.reader import by_number
from hybrik_ros.media.photo import PHOTOS, is_photo, picture_format
from hybrik_ros.media.picture_formats import READ, describe_unread
from hybrik_ros.recordings.recording import RecordingError, is_recording


def sort_files(folder: Path) -> tuple[list[Path], list[str]]:
    """Return the photos of a folder in the order of their names, and notes on what is left out.

    Parameters
    ----------
    folder : Path
        The folder. Numbers in names count by value.

    Raises
    ------
    RecordingError
        It has no photo in a format that is read.
    """
    photos: list[Path] = []
    others: dict[str, list[str]] = {}  # names of pictures by format
    unnamed: list[str] = []
    recordings: list[str] = []
    for path in sorted(folder.iterdir(), key=by_number):
        name = picture_format(path)
        if name and name not in READ:
            others.setdefault(name, []).append(path.name)
        elif is_photo(path):
            photos.append(path)
        elif name:
            unnamed.append(path.name)
        elif is_recording(path):
            recordings.append(path.name)
    notes = [describe_unread(', '.join(names), name) for name, names in others.items()]
    if unnamed:
        listed = ', '.join(unnamed)
        notes.append(f'pictures without a suffix such as .jpg ({listed}): rename them')
    if not photos:
        reasons = [f'{folder} contains neither a bag nor images ({", ".join(PHOTOS)})', *notes]
        raise RecordingError('; '.join(reasons))
    if recordings:
        listed = ', '.join(recordings)
        notes.append(f'videos, bags and folders beside the photos ({listed}): process them alone')
    return photos, [f'left out: {note}' for note in notes]
