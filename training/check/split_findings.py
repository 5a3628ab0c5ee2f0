"""Who is where: classes by split, patients in two splits, and splits whose classes have other frequencies.

Of multi-label data, each label is counted by itself, and never a combination of labels.
"""

from collections import Counter, defaultdict
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
    """Split to class, or label, to number of images; the split is ``all`` where none is given."""
    labels = sorted({name for entry in entries for name in entry.names})
    splits = [*SPLITS, "all", *sorted({entry.split or "all" for entry in entries} - {*SPLITS, "all"})]
    counts = {split: dict.fromkeys(labels, 0) for split in splits}
    for entry in entries:
        for name in entry.names:
            counts[entry.split or "all"][name] += 1
    return {split: of_class for split, of_class in counts.items() if any(of_class.values())}


def image_counts(entries: Sequence[Entry]) -> dict[str, int]:
    """Split to number of images, in the order of :func:`class_counts`."""
    totals = Counter(entry.split or "all" for entry in entries)
    return {split: totals[split] for split in class_counts(entries)}


def split_findings(entries: Sequence[Entry]) -> list[Finding]:
    """What is wrong with the splits and the balance of classes."""
    counts, images = class_counts(entries), image_counts(entries)
    multi_label = any(entry.labels is not None for entry in entries)
    findings = [*patient_findings(entries)]
    labels = list(next(iter(counts.values()))) if counts else []
    if not labels:
        return [*findings, Finding.of("error", "classes", "no image has a label")]
    if len(labels) < 2:
        findings.append(Finding.of("error", "classes", f"there is one class alone, {labels[0]!r}"))
    given = [split for split in SPLITS if split in counts]
    if given and set(SPLITS) - {*given, "train"}:
        absent = [split for split in SPLITS if split not in (*given, "train")]
        text = f"no {' and no '.join(absent)} split: training cuts it from train, or refuses it where it is published"
        findings.append(Finding.of("info", "splits", text))
    for split in [split for split in SPLITS if split in (*given, "train")] if given else ():
        missing = [label for label in labels if not counts.get(split, {}).get(label)]
        if missing:
            noun = "label" if multi_label else "class"
            text = f"the {split} split has no image of {count(len(missing), noun)}: training needs every {noun} there"
            findings.append(Finding.of("error", "classes", text, missing))
        always = [label for label in labels if multi_label and counts.get(split, {}).get(label) == images.get(split)]
        if always:
            text = f"every image of the {split} split has {count(len(always), 'label')}: training needs images without"
            findings.append(Finding.of("error", "classes", text, always))
    training = counts.get("train", counts[next(iter(counts))])
    most, least = max(training, key=lambda name: training[name]), min(training, key=lambda name: training[name])
    if training[least] and training[most] > IMBALANCE * training[least]:
        text = (
            f"{most!r} has {training[most]:,} images and {least!r} {training[least]:,}: read balanced accuracy and "
            "AUC rather than accuracy, and set loss.logit_adjustment or loss.class_weights"
        )
        findings.append(Finding.of("warning", "classes", text))
    for split in given:
        if split != "train" and "train" in counts:
            findings += label_shift(counts, images, split) if multi_label else shift_finding(counts, split)
    return findings


def label_shift(counts: Counts, images: dict[str, int], split: str) -> list[Finding]:
    """A warning where labels are more or less frequent in a split than in train, beyond chance."""
    shifted = []
    for label, number in counts[split].items():
        table = np.array([[counts["train"][label], images["train"]], [number, images[split]]])
        table[:, 1] -= table[:, 0]
        train, other = table[:, 0] / table.sum(axis=1)
        if abs(train - other) > SHIFT and chi2_contingency(table).pvalue < P_VALUE:
            shifted.append(f"{label}: {train:.0%} of train, {other:.0%} of {split}")
    text = f"{count(len(shifted), 'label')} with another frequency in {split} than in train: read figures by label"
    return [Finding.of("warning", "classes", text, shifted)] if shifted else []


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
