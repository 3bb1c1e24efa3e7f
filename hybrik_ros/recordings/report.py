"""What is kept beside the messages of a bag: how it was made, and how far it got."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hybrik_ros.recordings.recording import RecordingError

_NAME = 'report.json'


@dataclass
class RecordingReport:
    """How a bag was made.

    Attributes
    ----------
    recipe: all that decides what is in it: input, settings, models, version.
    complete: whether the recording was read to its end.
    steps: of the recording that were taken.
    images: that were processed or left out.
    frames: images that were processed.
    people: in all of these together.
    ids: how many were given.
    first, last: nanoseconds, the stamps of the first and the last frame; None before the first.
    faults: how often something was left out, by the kind of fault.
    reasons: what was wrong with the first of each kind.
    damage: of the file itself, how often, by its kind.
    notes: what else the user should know.
    has_tracks: whether people were tracked at its end.
    state: of the pipeline, where it is to go on; None where it is complete.
    """

    recipe: dict[str, Any]
    complete: bool = False
    steps: int = 0
    images: int = 0
    frames: int = 0
    people: int = 0
    ids: int = 0
    first: int | None = None
    last: int | None = None
    faults: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    damage: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    has_tracks: bool = False
    state: Any = None

    def fault(self, kind: str, reason: str) -> None:
        """Count what is left out, and keep why."""
        self.faults[kind] = self.faults.get(kind, 0) + 1
        self.reasons.setdefault(kind, reason)

    def write(self, bag: Path) -> None:
        """Write it into the folder of a bag."""
        (bag / _NAME).write_text(json.dumps(asdict(self), indent=1) + '\n')

    @staticmethod
    def is_in(bag: Path) -> bool:
        """Tell whether there is one in the folder of a bag."""
        return (bag / _NAME).is_file()

    @classmethod
    def read(cls, bag: Path) -> 'RecordingReport | None':
        """Read that of a bag; None where there is no such folder yet.

        Raises
        ------
        RecordingError: something else is in its place.
        """
        if not bag.exists():
            return None
        try:
            return cls(**json.loads((bag / _NAME).read_text()))
        except (OSError, ValueError, TypeError) as error:
            raise RecordingError(
                f'{bag} exists and was not made by `hybrik bag`: choose another output ({error})'
            ) from None
