"""How the figures differ between groups of patients, by the columns of a CSV of their metadata."""

import csv
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.errors import TrainingError
from training.evaluation.bootstrap import figures, resample, with_intervals
from training.evaluation.figures import Figure
from training.evaluation.kept import Evaluation
from training.evaluation.label_shift import importance
from training.evaluation.metrics import figure_of

KEYS = ("id", "file", "patient")
"""Columns that identify the image or patient of a row, in the order in which they are tried."""
NOT_GROUPS = {*KEYS, "label", "split", "source", "weight"}
SHOWN = ("accuracy", "balanced_accuracy", "macro_auc", "ece")
NEED_ALL = {"balanced_accuracy", "macro_auc"}
"""Figures that mean something else if a class is missing."""
FEWEST_IMAGES, FEWEST_PATIENTS = 30, 10
MOST_GROUPS = 12
UNKNOWN = "not stated"


class Subgroup(NamedTuple):
    """Size and figures of a group. ``fault`` says why there are no figures."""

    column: str
    value: str
    images: int
    patients: int
    figures: dict[str, Figure | None]
    """Figure to value and interval; None where a class is missing in the group."""
    fault: str


class Subgroups(NamedTuple):
    """All groups, and the parts of the file that were not used."""

    rows: list[Subgroup]
    joined_by: str
    unmatched: int
    """Images without a row in the file."""
    left_out: list[str]
    """Columns with too many values to be groups."""


def read_subgroups(
    path: Path, evaluation: Evaluation, resamples: int, prior: NDArray[np.float64] | None = None
) -> Subgroups:
    """Join a CSV to the images by ``id``, ``file`` or ``patient``, and measure each group of each other column.

    Numbers of more than twelve values are cut at their quartiles. The calibration error is at the class frequencies of
    ``prior`` (K,), or of the images as they are.

    Raises:
        TrainingError: if the file is not a CSV, or if none of its rows is about an image of the evaluation.
    """
    rows = read_rows(path)
    key = next((name for name in KEYS if name in rows[0]), None)
    if key is None:
        raise TrainingError(f"{path} needs a column id, file or patient to identify each row")
    of_image = evaluation.patients if key == "patient" else evaluation.ids
    table = {row[key]: row for row in rows}
    if len(table) < len(rows) and key != "patient":
        raise TrainingError(f"{path} has two rows with one {key}: give each image one row")
    known = [table.get(str(name)) for name in of_image]
    if not any(known):
        raise TrainingError(
            f"no {key} in {path} is one of this evaluation, such as {str(of_image[0])!r}: correct the column {key}"
        )
    groups: list[Subgroup] = []
    left_out = []
    for column in rows[0]:
        if column in NOT_GROUPS:
            continue
        values = [(row.get(column) or "").strip() if row else "" for row in known]
        names = group_names(values)
        if names is None:
            left_out.append(column)
            continue
        for name in dict.fromkeys(names[1]):
            chosen = np.array([value == name for value in names[0]])
            if chosen.any():
                groups.append(measure_group(column, name, chosen, evaluation, prior, resamples))
    return Subgroups(groups, key, sum(row is None for row in known), left_out)


def has_subgroups(path: Path) -> bool:
    """Whether there is such a CSV and a column of it makes subgroups."""
    if not path.is_file():
        return False
    with path.open(newline="", encoding="utf-8-sig") as stream:
        return not set(next(csv.reader(stream), [])) <= NOT_GROUPS


def read_rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TrainingError(f"{path} can't be read as a CSV file in UTF-8: {error}") from None
    if not rows:
        raise TrainingError(f"{path} holds no rows: expected a header, and one row an image or a patient")
    return rows


def group_names(values: Sequence[str]) -> tuple[list[str], list[str]] | None:
    """Return each image's group and the groups in order; None for a column that does not make groups."""
    stated = sorted({value for value in values if value})
    order = stated
    names = [value or UNKNOWN for value in values]
    if len(stated) > MOST_GROUPS:
        try:
            numbers = np.array([float(value) if value else np.nan for value in values])
        except ValueError:
            return None
        names, order = quartiles(numbers)
    return names, [*order, UNKNOWN]


def quartiles(numbers: NDArray[np.float64]) -> tuple[list[str], list[str]]:
    """Name each number by the quarter that it is in, such as ``54 to 63``; a border belongs to the upper quarter."""
    low, *cuts, high = np.unique(np.nanquantile(numbers, [0, 0.25, 0.5, 0.75, 1])).tolist()
    edges = [low, *cuts, high]
    order = [f"{a:g} to {b:g}" for a, b in itertools.pairwise(edges)]
    place = np.searchsorted(cuts, np.nan_to_num(numbers), side="right")
    return [UNKNOWN if np.isnan(n) else order[p] for n, p in zip(numbers, place.tolist(), strict=True)], order


def measure_group(
    column: str,
    name: str,
    chosen: NDArray[np.bool_],
    evaluation: Evaluation,
    prior: NDArray[np.float64] | None,
    resamples: int,
) -> Subgroup:
    """Size and figures of a group.

    With a prior (K,), the calibration error is of the group within a population of these class frequencies: a class may
    still be more frequent in the group than in the others.
    """
    labels, probabilities = evaluation.labels[chosen], evaluation.probabilities[chosen]
    patients = evaluation.patients[chosen]
    images, people = int(chosen.sum()), len(set(patients.tolist()))
    fault = ""
    if images < FEWEST_IMAGES or people < FEWEST_PATIENTS:
        fault = f"too few: figures need {FEWEST_IMAGES} images of {FEWEST_PATIENTS} patients"
    complete = len(np.unique(labels)) == probabilities.shape[1]
    shown: dict[str, Figure | None] = {}
    if not fault:
        weights = resample(patients.tolist(), labels, resamples=resamples)
        importances, within = np.ones(images), None
        if prior is not None:
            importances = importance(evaluation.labels, prior)[chosen]
            within = np.bincount(labels, importances, len(prior)) / importances.sum()
        drawn = figures(probabilities, labels, weights, within) if weights is not None else {}
        values = {
            name: figure_of(name, probabilities, labels, importances)
            for name in SHOWN
            if complete or name not in NEED_ALL
        }
        found = {name: Figure.model_validate(figure) for name, figure in with_intervals(values, drawn).items()}
        shown = dict.fromkeys(SHOWN) | found
    return Subgroup(column, name, images, people, shown, fault)
