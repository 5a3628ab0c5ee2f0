"""Whether a class can be recognised without the retina: by size, file encoding or border.

A network learns such a shortcut if there is one (Geirhos et al., "Shortcut learning in deep neural networks", Nature
Machine Intelligence 2020). To measure it, a decision tree that sees only these properties is cross-validated, with
patients kept together. The file size is not used, because it depends on the content.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.tree import DecisionTreeClassifier

from training.check.finding import Finding
from training.check.scan import Scan
from training.check.source import Entry

FOLDS, RESAMPLES = 5, 1000
FEWEST = 10
"""Least number of patients for a class to be measured."""
MARGIN = 0.05
"""A warning is given if the lower end of the interval is this far above chance."""
MOST_IMAGES, MOST_ENCODINGS = 20_000, 50

Kind = Literal["size", "encoding", "border"]


class ClassShortcut(BaseModel):
    """The result of the tree for one class."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    recognised: float
    """Fraction of the images of the class that the tree assigns to it."""
    mistaken: float
    """Fraction of the other images that it also assigns to the class."""


class Shortcut(BaseModel):
    """How well a tree that sees only one kind of property tells the classes apart."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Kind
    balanced_accuracy: float
    interval: tuple[float, float]
    """95 %, percentile bootstrap over patients (images where those are not known)."""
    chance: float
    classes: dict[str, ClassShortcut]

    @property
    def suspicious(self) -> bool:
        return self.interval[0] > self.chance + MARGIN


class Features(NamedTuple):
    kind: Kind
    values: NDArray[np.float64]
    """(N, F)"""


def find_shortcuts(entries: Sequence[Entry], scans: Sequence[Scan], seed: int = 0) -> list[Shortcut]:
    """Measure each kind of property. Properties that are the same in every image, and rare classes, are left out."""
    groups = np.unique([entry.patient or entry.id for entry in entries], return_inverse=True)[1]
    labels = np.array([entry.label for entry in entries])
    frequent = [name for name in np.unique(labels) if len(set(groups[labels == name])) >= FEWEST]
    used = np.flatnonzero(np.isin(labels, frequent))
    if len(frequent) < 2:
        return []
    if len(used) > MOST_IMAGES:
        used = np.random.default_rng(seed).choice(used, MOST_IMAGES, replace=False)
    return [
        measure(features.kind, features.values[used], labels[used], groups[used], seed)
        for features in describe(scans)
        if np.ptp(features.values[used], axis=0).any()
    ]


def describe(scans: Sequence[Scan]) -> list[Features]:
    """The properties by kind; encodings one-hot."""
    size = np.array([[scan.width, scan.height, scan.width / scan.height] for scan in scans], dtype=np.float64)
    common = [name for name, _ in Counter(scan.encoding for scan in scans).most_common(MOST_ENCODINGS)]
    encoding = np.array([[scan.encoding == name for name in common] for scan in scans], dtype=np.float64)
    border = np.array([scan.border for scan in scans], dtype=np.float64)
    return [Features("size", size), Features("encoding", encoding), Features("border", border)]


def measure(
    kind: Kind, values: NDArray[np.float64], labels: NDArray[np.str_], groups: NDArray[np.int64], seed: int
) -> Shortcut:
    """Cross-validate a tree (N, F) -> labels (N,), with whole groups held out."""
    names, truth = np.unique(labels, return_inverse=True)
    said = np.empty_like(truth)
    for train, held_out in StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed).split(values, truth, groups):
        tree = DecisionTreeClassifier(max_depth=6, min_samples_leaf=5, class_weight="balanced", random_state=seed)
        said[held_out] = tree.fit(values[train], truth[train]).predict(values[held_out])
    recalls = [float((said[truth == index] == index).mean()) for index in range(len(names))]
    mistaken = [float((said[truth != index] == index).mean()) for index in range(len(names))]
    return Shortcut(
        kind=kind,
        balanced_accuracy=float(np.mean(recalls)),
        interval=interval(truth, said, groups, seed),
        chance=1 / len(names),
        classes={
            str(name): ClassShortcut(recognised=recalls[index], mistaken=mistaken[index])
            for index, name in enumerate(names)
        },
    )


def interval(
    truth: NDArray[np.int64], said: NDArray[np.int64], groups: NDArray[np.int64], seed: int
) -> tuple[float, float]:
    """95 % interval of the balanced accuracy when whole groups are drawn with replacement."""
    _, group = np.unique(groups, return_inverse=True)
    images = np.zeros((group.max() + 1, truth.max() + 1))
    right = np.zeros_like(images)
    np.add.at(images, (group, truth), 1)
    np.add.at(right, (group, truth), said == truth)
    random = np.random.default_rng(seed)
    values = []
    for _ in range(RESAMPLES):
        times = np.bincount(random.integers(len(images), size=len(images)), minlength=len(images))
        drawn = times @ images
        values.append(np.mean((times @ right)[drawn > 0] / drawn[drawn > 0]))
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def shortcut_findings(shortcuts: Sequence[Shortcut]) -> list[Finding]:
    """A warning for each kind of property that gives classes away."""
    words = {
        "size": "by image size alone: bring all images to one size and field of view before a score means anything",
        "encoding": "by file format or encoding alone: the classes come from different sources or programs; a network "
        "may learn their traces",
        "border": "by the width of dark or white borders alone: crop the images to their content, or doubt the score",
    }
    findings = []
    for shortcut in shortcuts:
        if shortcut.suspicious:
            low, high = shortcut.interval
            value, chance = shortcut.balanced_accuracy, shortcut.chance
            by_class = [
                f"{name}: {of.recognised:.0%} recognised; {of.mistaken:.0%} of the other images mistaken for it"
                for name, of in shortcut.classes.items()
            ]
            text = (
                f"classes can be told apart {words[shortcut.kind]} (cross-validated balanced accuracy {value:.2f}, "
                f"95 % interval {low:.2f} to {high:.2f}, chance {chance:.2f})"
            )
            findings.append(Finding.of("warning", "shortcuts", text, by_class))
    return findings
