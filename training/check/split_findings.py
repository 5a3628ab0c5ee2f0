"""Who is where: classes by split, patients in two splits, and splits whose classes have other frequencies."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from scipy.stats import chi2_contingency

from training.check.finding import Finding, count
from training.check.source import Entry
from training.datasets.base import SPLITS

IMBALANCE = 20
"""Times that the largest class may outnumber the smallest without a warning."""
SHIFT, P_VALUE = 0.1, 0.001
"""A prior shift is worth a warning from this total variation on, if chance explains it less often than this."""

Counts = dict[str, dict[str, int]]


def class_counts(entries: Sequence[Entry]) -> Counts:
    """Split to class to number of images; the split is ``all`` where none is given."""
    labels = sorted({entry.label for entry in entries})
    splits = [*SPLITS, "all", *sorted({entry.split or "all" for entry in entries} - {*SPLITS, "all"})]
    counts = {split: dict.fromkeys(labels, 0) for split in splits}
    for entry in entries:
        counts[entry.split or "all"][entry.label] += 1
    return {split: of_class for split, of_class in counts.items() if any(of_class.values())}


def split_findings(entries: Sequence[Entry]) -> list[Finding]:
    """What is wrong with the splits and the balance of classes."""
    counts = class_counts(entries)
    findings = [*patient_findings(entries)]
    labels = list(next(iter(counts.values())))
    if len(labels) < 2:
        findings.append(Finding.of("error", "classes", f"there is one class alone, {labels[0]!r}"))
    given = [split for split in SPLITS if split in counts]
    for split in SPLITS if given else ():
        missing = [label for label in labels if not counts.get(split, {}).get(label)]
        if missing:
            text = f"the {split} split has no image of {count(len(missing), 'class')}: training needs every class there"
            findings.append(Finding.of("error", "classes", text, missing))
    training = counts.get("train", counts[next(iter(counts))])
    most, least = max(training, key=lambda name: training[name]), min(training, key=lambda name: training[name])
    if training[least] and training[most] > IMBALANCE * training[least]:
        text = (
            f"{most!r} has {training[most]:,} images and {least!r} {training[least]:,}: read balanced accuracy and "
            "AUC rather than accuracy, and set loss.logit_adjustment or loss.class_weights"
        )
        findings.append(Finding.of("warning", "classes", text))
    for split in given:
        findings.extend(shift_finding(counts, split) if split != "train" and "train" in counts else [])
    return findings


def patient_findings(entries: Sequence[Entry]) -> list[Finding]:
    """Patients in two splits, and how many there are."""
    where: dict[str, set[str]] = defaultdict(set)
    labels: dict[str, set[str]] = defaultdict(set)
    unknown = 0
    for entry in entries:
        if entry.patient is None:
            unknown += 1
            continue
        labels[entry.patient].add(entry.label)
        if entry.split is not None:
            where[entry.patient].add(entry.split)
    if not labels:
        text = "patients are not known: if any has several images, make the split by patient and add a patient column"
        return [Finding.of("info", "patients", text)]
    findings = []
    shared = sorted(f"{patient}: {', '.join(sorted(splits))}" for patient, splits in where.items() if len(splits) > 1)
    if shared:
        text = f"{count(len(shared), 'patient')} in two splits or more: figures would be too high"
        findings.append(Finding.of("error", "patients", text, shared))
    if unknown:
        text = f"{count(unknown, 'image')} of {len(entries):,} have no patient"
        findings.append(Finding.of("warning", "patients", text, [e.id for e in entries if e.patient is None]))
    several = sum(len(classes) > 1 for classes in labels.values())
    text = (
        f"{count(len(entries) - unknown, 'image')} of {count(len(labels), 'patient')}; {several:,} in several classes"
    )
    return [*findings, Finding.of("info", "patients", text)]


def shift_finding(counts: Counts, split: str) -> list[Finding]:
    """A warning where the classes' frequencies differ between train and another split, beyond chance."""
    table = np.array([list(counts["train"].values()), list(counts[split].values())])
    table = table[:, table.sum(axis=0) > 0]
    train, other = (row / row.sum() for row in table)
    distance = np.abs(train - other).sum() / 2
    if distance <= SHIFT or chi2_contingency(table).pvalue >= P_VALUE:
        return []
    text = (
        f"classes have other frequencies in {split} than in train (total variation {distance:.2f}): probabilities are "
        "calibrated for one of them, so choose calibration.target_prior and say which"
    )
    return [Finding.of("warning", "classes", text)]
