"""Which column of a table is what: by the recipe, or by a usual name; a name that is nearly usual is refused."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from training.errors import TrainingError
from training.recipe import ColumnSpec

USUAL = {
    "file": ("file", "filename", "filepath", "path", "image", "imagefile", "imagename", "imagepath", "img"),
    "label": ("label", "labels", "class", "diagnosis"),
    "patient": ("patient", "patientid", "patientno", "patientnumber", "patientcode", "subject", "subjectid", "pid"),
    "eye": ("eye", "laterality"),
    "split": ("split", "subset", "partition"),
    "weight": ("weight", "sampleweight"),
}
"""Usual names of each column, in lower case and without blanks, ``-`` and ``_``. The first is preferred."""
OFTEN_MEANT = {
    "file": ("file", "filename", "filepath", "path", "image"),
    "label": ("label", "labels", "class", "diagnosis"),
    "patient": ("patient", "patientid", "subject", "subjectid"),
    "split": ("split",),
}
"""Names that a near miss is compared with: those near which no other usual word lies."""
ABOUT_PATIENTS = re.compile("(patient|subject)s?(age|sex|gender|race|ethnicity|birth|group|weight|height|name)")
"""Columns that describe a patient and do not identify one. A name may be one of several people."""


@dataclass(frozen=True)
class Columns:
    """The name of each column in the header. ``None`` where there is no such column."""

    file: str
    label: str | list[str] | None
    patient: str | None
    eye: str | None
    split: str | None
    weight: str | None
    subgroups: list[str]

    def described(self, rest: Sequence[str]) -> str:
        """Which column was taken for what, and those that are not used."""
        label = ", ".join(self.label) if isinstance(self.label, list) else self.label
        used = {"file": self.file, "label": label or "the folder's name", "patient": self.patient, "eye": self.eye}
        used |= {"split": self.split, "weight": self.weight, "subgroups": ", ".join(self.subgroups)}
        text = "; ".join(f"{role}: {name}" for role, name in used.items() if name)
        return text + (f"; not used: {', '.join(rest)}" if rest else "")


def find_columns(header: Sequence[str], spec: ColumnSpec, table: Path) -> Columns:
    """Find each column.

    Raises:
        TrainingError: if the recipe names a column that is not there, if no column holds the files, if two columns may
            be the same thing, or if a name is nearly that of a column that is missing.
    """
    wanted = [spec.file, spec.patient, spec.eye, spec.split, spec.weight, *spec.subgroups]
    wanted += spec.label if isinstance(spec.label, list) else [spec.label]
    absent = [name for name in wanted if name is not None and name not in header]
    if absent:
        raise TrainingError(
            f"{table} has no column {absent[0]!r}, which folder.columns names: its columns are {', '.join(header)}"
        )
    free = [name for name in header if name not in wanted]
    roles: dict[str, str | None] = {}
    for role in USUAL:
        named = getattr(spec, role)
        roles[role] = by_usual_name(free, role, table) if named is None else named
    unused = [name for name in free if name not in roles.values()]
    for role, name in roles.items():
        meant = None if name else next((other for other in unused if nearly(other, role)), None)
        if meant is not None:
            raise TrainingError(
                f"{table}: is the column {meant!r} meant as {USUAL[role][0]!r}? Then rename it, or name it with "
                f"folder.columns.{role}; if it is something else, list it in folder.columns.subgroups"
            )
    if roles["file"] is None:
        raise TrainingError(
            f"{table} needs a header with a column `file`, the image's path, and one row an image; its columns are "
            f"{', '.join(header) or 'none'}: rename one, or name it with folder.columns.file"
        )
    return Columns(**roles, subgroups=spec.subgroups)  # type: ignore[arg-type]


def by_usual_name(header: Sequence[str], role: str, table: Path) -> str | None:
    found = [name for name in header if plain(name) in USUAL[role]]
    preferred = [name for name in found if plain(name) == USUAL[role][0]]
    chosen = preferred or found
    if len(chosen) > 1:
        raise TrainingError(
            f"{table}: the columns {' and '.join(map(repr, chosen))} may both be the {role}: name one with "
            f"folder.columns.{role}"
        )
    return chosen[0] if chosen else None


def plain(name: str) -> str:
    """A column's name in lower case, without blanks, ``-`` and ``_``."""
    return re.sub(r"[\s_-]", "", name).lower()


def nearly(name: str, role: str) -> bool:
    """Whether a column that has no usual name was probably meant as one."""
    word = plain(name)
    if role == "patient" and word.startswith(("patient", "subject")) and not ABOUT_PATIENTS.fullmatch(word):
        return True
    return any(one_slip(word, usual) for usual in OFTEN_MEANT.get(role, ()))


def one_slip(word: str, other: str) -> bool:
    """Whether one letter was added, left out or mistaken, or two neighbours exchanged (Damerau 1964)."""
    same = next((i for i, (a, b) in enumerate(zip(word, other, strict=False)) if a != b), min(len(word), len(other)))
    rest, wanted = word[same:], other[same:]
    exchanged = rest[:2] == wanted[:2][::-1] and len(wanted) > 1 and rest[2:] == wanted[2:]
    return exchanged or rest[1:] in (wanted, wanted[1:]) or (rest == wanted[1:] and wanted != "")
