"""What was found of your own images, before it is judged: training refuses faults, the check reports them."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple


class Listed(NamedTuple):
    """One image with what is said of it. ``None`` for what is unknown."""

    file: str
    """Relative to the root of the listing, or absolute."""
    label: str | tuple[str, ...]
    """The class; of multi-label data, the labels that the image has."""
    patient: str | None = None
    split: str | None = None
    """``train``, ``val`` or ``test``; another word as it was written."""
    weight: float = 1.0
    details: tuple[tuple[str, str], ...] = ()
    """Name and value of the eye and of other columns."""


class Fault(NamedTuple):
    """Something wrong, or worth knowing, with its examples. The text has a place, ``{}``, for their number."""

    severity: Literal["error", "warning", "info"]
    check: str
    text: str
    noun: str
    examples: Sequence[str]

    def message(self) -> str:
        """The text with the number of examples: ``2 files``."""
        number = len(self.examples)
        return self.text.format(f"{number:,} {self.noun}{'' if number == 1 else 's'}")

    def sentence(self) -> str:
        """The message and its first examples."""
        shown = ", ".join(self.examples[:5])
        return f"{self.message()} ({shown}{', ...' if len(self.examples) > 5 else ''})"


@dataclass
class Listing:
    """The images of a folder or table, and what was understood of them."""

    root: Path
    images: list[Listed]
    faults: list[Fault] = field(default_factory=list)
    source: str = "folders"
    """What says the splits: the folders, or the name of a table."""
    layout: list[str] = field(default_factory=list)
    """Sentences on which folder or column was taken for what."""
    labels: list[str] | None = None
    """The labels of multi-label data, in their order."""

    @property
    def names(self) -> set[str]:
        """Every class or label that an image has."""
        return {
            name for image in self.images for name in ((image.label,) if isinstance(image.label, str) else image.label)
        }

    def doubles(self) -> list[str]:
        """Files that are listed more than once."""
        return [file for file, number in Counter(image.file for image in self.images).items() if number > 1]

    def shared_patients(self) -> dict[str, set[str]]:
        """Patients with images in two splits or more, with these."""
        where: dict[str, set[str]] = defaultdict(set)
        for image in self.images:
            if image.patient and image.split:
                where[image.patient].add(image.split)
        return {patient: splits for patient, splits in where.items() if len(splits) > 1}
