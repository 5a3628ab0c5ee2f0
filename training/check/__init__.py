"""Checks of a data set before training: ``python -m training check DATA``.

The images are read once (:mod:`training.check.scan`). Each of the other modules checks one property.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict

from training.check.copies import copies_found, false_alarms
from training.check.duplicates import (
    MAX_DISTANCE,
    MIN_CORRELATION,
    MIN_CORRELATION_TURNED,
    Thumbnails,
    exact_duplicates,
    near_duplicates,
)
from training.check.finding import Finding, count
from training.check.neighbours import Kinship, kinship
from training.check.repeats import exact_findings, near_findings
from training.check.scan import Scan, scan
from training.check.sheet import contact_sheet, pair_sheet
from training.check.shortcuts import Shortcut, find_shortcuts, shortcut_findings
from training.check.source import Entry, Source, read_dataset_source, read_source
from training.check.split_findings import Counts, class_counts, image_counts, split_findings
from training.errors import TrainingError

__all__ = ["Report", "inspect", "read_dataset_source", "read_source"]

COMMONEST = 3


class NearDuplicates(BaseModel):
    """How near duplicates were searched for, and how reliable the search is on these images."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_distance: int = MAX_DISTANCE
    min_correlation: float = MIN_CORRELATION
    min_correlation_turned: float = MIN_CORRELATION_TURNED
    pairs: int
    false_alarms: tuple[int, int] | None
    """Pairs of different patients that match, and all such pairs. None if patients are unknown."""
    copies_found: dict[str, float]


class Report(BaseModel):
    """All results of a check. This is ``check.json``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: str
    images: int
    unreadable: dict[str, str]
    counts: Counts
    """Split to class to number of images; of multi-label data, to label."""
    images_by_split: dict[str, int]
    sizes: dict[str, dict[str, int]]
    """For each class its most frequent ``width x height``; the rest under ``other``."""
    encodings: dict[str, dict[str, int]]
    shortcuts: list[Shortcut]
    near_duplicates: NearDuplicates
    kinship: list[Kinship]
    findings: list[Finding]

    def worst(self) -> str:
        """``error``, ``warning`` or ``info``."""
        present = {finding.severity for finding in self.findings}
        return next((severity for severity in ("error", "warning") if severity in present), "info")


def inspect(source: Source, folder: Path, progress: Callable[[], None] = lambda: None) -> Report:
    """Check a source, and write ``check.json`` and the pictures into a folder. ``progress`` is called after each image.

    Raises:
        TrainingError: if no image can be read.
    """
    results = scan(source.entries, progress)
    unreadable = {
        entry.id: result for entry, result in zip(source.entries, results, strict=True) if isinstance(result, str)
    }
    readable = [(e, r) for e, r in zip(source.entries, results, strict=True) if not isinstance(r, str)]
    if not readable:
        first = next(iter(unreadable.items()))
        raise TrainingError(
            f"none of {len(unreadable)} images of {source.name} can be read, first {first[0]}: {first[1]}"
        )
    entries, scans = [entry for entry, _ in readable], [result for _, result in readable]
    near = near_duplicates(scans)
    thumbnails = Thumbnails(np.stack([result.thumbnail for result in scans]))
    shortcuts = find_shortcuts(entries, scans)
    order = {"error": 0, "warning": 1, "info": 2}
    findings = [
        *source.findings,
        *unreadable_findings(unreadable, scans, entries),
        *split_findings(entries),
        *shortcut_findings(shortcuts),
        *exact_findings(entries, exact_duplicates(scans)),
        *near_findings(entries, near),
    ]
    unknown = all(entry.patient is None for entry in entries)
    related = [kinship([e.split for e in entries], thumbnails, near, s) for s in ("val", "test")] if unknown else []
    report = Report(
        data=source.name,
        images=len(source.entries),
        unreadable=unreadable,
        counts=class_counts(entries),
        images_by_split=image_counts(entries),
        sizes=by_class(entries, [f"{result.width} x {result.height}" for result in scans]),
        encodings=by_class(entries, [result.encoding for result in scans]),
        shortcuts=shortcuts,
        near_duplicates=NearDuplicates(
            pairs=len(near),
            false_alarms=false_alarms(entries, near),
            copies_found=copies_found(entries, thumbnails),
        ),
        kinship=[found for found in related if found is not None],
        findings=sorted(findings, key=lambda finding: order[finding.severity]),
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "check.json").write_text(report.model_dump_json(indent=2) + "\n")
    contact_sheet(entries, folder / "contact-sheet.png")
    (folder / "near-duplicates.png").unlink(missing_ok=True)
    if near:
        pair_sheet(entries, near, folder / "near-duplicates.png")
    return report


def unreadable_findings(unreadable: dict[str, str], scans: Sequence[Scan], entries: Sequence[Entry]) -> list[Finding]:
    """Images that can't be read, and images of a single grey level."""
    findings = []
    if unreadable:
        text = f"{count(len(unreadable), 'image')} can't be read: repair or remove them, or train with on_corrupt: skip"
        listed = [f"{name}: {reason}" for name, reason in unreadable.items()]
        findings.append(Finding.of("error", "files", text, listed))
    blank = [entry.id for entry, result in zip(entries, scans, strict=True) if not np.ptp(result.thumbnail)]
    if blank:
        findings.append(Finding.of("warning", "files", f"{count(len(blank), 'image')} of one single grey level", blank))
    return findings


def by_class(entries: Sequence[Entry], values: Sequence[str]) -> dict[str, dict[str, int]]:
    """The most frequent values in each class, or label, with their counts."""
    counters: dict[str, Counter[str]] = defaultdict(Counter)
    for entry, value in zip(entries, values, strict=True):
        for name in entry.names or (entry.label,):
            counters[name][value] += 1
    table = {}
    for label, counter in sorted(counters.items()):
        common = dict(counter.most_common(COMMONEST))
        rest = counter.total() - sum(common.values())
        table[label] = common | ({f"{len(counter) - len(common)} others": rest} if rest else {})
    return table
