"""The report beside the messages of a bag: how the bag was made, and how far processing got."""

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hybrik_ros.limits import MAX_JSON_BYTES
from hybrik_ros.printable import printable
from hybrik_ros.recordings.recording import RecordingError
from hybrik_ros.untrusted import create_record, parse_json, read_regular

_NAME = 'report.json'
_RECIPE = ('recording', 'settings', 'models')  # the dictionaries in a recipe


@dataclass
class RecordingReport:
    """The report of a bag.

    Attributes
    ----------
    recipe : dict
        All that determines the content of the bag: recording, settings, models, version.
    complete : bool
        Whether the recording was processed to its end.
    steps : int
        Number of steps of the recording that were processed.
    images : int
        Number of images that were processed or left out.
    frames : int
        Number of images that were processed.
    people : int
        Number of people that were found, by their ids.
    person_frames : int
        Number of people in all frames together: a person in 80 frames counts 80 times.
    ids : int
        Number of person ids that were given.
    first, last : int or None
        Stamps of the first and the last frame in nanoseconds; None before the first.
    faults : dict
        Number of times something was left out, by kind of fault.
    reasons : dict
        Description of the first fault of each kind.
    damage : dict
        Number of times damage of the file was found, by kind.
    notes : list of str
        Other information for the user.
    has_tracks : bool
        Whether people were tracked at the end.
    state : dict or None
        State of the pipeline, from which processing resumes; None when complete.
    found : dict
        Number of frames of each person by id, from which counting resumes; empty when complete.
    """

    recipe: dict[str, Any]
    complete: bool = False
    steps: int = 0
    images: int = 0
    frames: int = 0
    people: int = 0
    person_frames: int = 0
    ids: int = 0
    first: int | None = None
    last: int | None = None
    faults: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    damage: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    has_tracks: bool = False
    state: Any = None
    found: dict[str, int] = field(default_factory=dict)

    def add_fault(self, kind: str, reason: str) -> None:
        """Count a fault.

        Parameters
        ----------
        kind : str
            Kind of the fault.
        reason : str
            Description of the fault, kept if it is the first of its kind; a long one is cut.
        """
        self.faults[kind] = self.faults.get(kind, 0) + 1
        self.reasons.setdefault(kind, printable(reason))

    def add_note(self, text: str) -> None:
        """Add information for the user, unless it is there already; a long text is cut."""
        text = printable(text)
        if text not in self.notes:
            self.notes.append(text)

    def add_people(self, ids: Iterable[str]) -> None:
        """Count the people of a frame.

        Parameters
        ----------
        ids : iterable of str
            The id of each.
        """
        for id in ids:
            self.found[id] = self.found.get(id, 0) + 1
            self.person_frames += 1
        self.people = len(self.found)

    def write(self, bag: Path) -> None:
        """Write the report into the folder of a bag."""
        (bag / _NAME).write_text(json.dumps(asdict(self), indent=1) + '\n')

    @staticmethod
    def is_in(bag: Path) -> bool:
        """Return whether the folder of a bag contains a report."""
        return (bag / _NAME).is_file()

    @classmethod
    def read(cls, bag: Path) -> 'RecordingReport | None':
        """Read the report of a bag.

        Parameters
        ----------
        bag : Path
            Folder of the bag.

        Returns
        -------
        RecordingReport or None
            None if there is no such path.

        Raises
        ------
        RecordingError
            The path exists, but has no valid report.
        """
        if not os.path.lexists(bag):  # A link to nothing cannot be replaced by a folder.
            return None
        try:
            content = parse_json(read_regular(bag / _NAME, MAX_JSON_BYTES))
            report = create_record(cls, content)
            missing = [name for name in _RECIPE if not isinstance(report.recipe.get(name), dict)]
            if missing:
                raise ValueError(f'its recipe has no {", ".join(missing)}')
            return report
        except (OSError, ValueError) as error:
            raise RecordingError(
                f'{bag} exists and was not made by `hybrik bag`: choose another output ({error})'
            ) from None
