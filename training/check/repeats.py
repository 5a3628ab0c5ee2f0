"""Duplicates as findings. Their effect on training depends on the splits and classes of the two images."""

from collections.abc import Sequence

from training.check.duplicates import VIEWS, Pair
from training.check.finding import Finding, Severity, count
from training.check.source import Entry


def exact_findings(entries: Sequence[Entry], groups: Sequence[Sequence[int]]) -> list[Finding]:
    """Groups of identical images: in two classes, in two splits, or superfluous."""
    kinds: dict[tuple[Severity, str], list[str]] = {}
    for group in groups:
        members = [entries[index] for index in group]
        if len({entry.label for entry in members}) > 1:
            kind: tuple[Severity, str] = ("error", "with different labels: at least one of them is wrong")
        elif len({entry.split for entry in members}) > 1:
            kind = ("error", "in two splits: figures would be too high")
        else:
            kind = ("warning", "in one class and split: they count more than once")
        kinds.setdefault(kind, []).append(" = ".join(place(entry) for entry in members))
    return [
        Finding.of(severity, "exact duplicates", f"{count(len(found), 'group')} of identical images {text}", found)
        for (severity, text), found in sorted(kinds.items())
    ]


def near_findings(entries: Sequence[Entry], pairs: Sequence[Pair]) -> list[Finding]:
    """Pairs that are nearly the same: a warning if they are in two splits or classes, otherwise information."""
    kinds: dict[tuple[Severity, str], list[str]] = {}
    for pair in pairs:
        one, other = entries[pair.first], entries[pair.second]
        same_patient = one.patient is not None and one.patient == other.patient
        if one.split != other.split:
            kind: tuple[Severity, str] = ("warning", "in two splits: if they are of one eye, figures are too high")
        elif one.label != other.label:
            kind = ("warning", "with different labels: look at them, one label may be wrong")
        elif same_patient:
            kind = ("info", "of one patient, in one class and split")
        else:
            kind = ("info", "in one class and split, of different or unknown patients")
        turned = f", {VIEWS[pair.view]}" if pair.view else ""
        kinds.setdefault(kind, []).append(
            f"{place(one)} ~ {place(other)} ({pair.distance} bits, r = {pair.correlation:.3f}{turned})"
        )
    return [
        Finding.of(severity, "near duplicates", f"{count(len(found), 'pair')} nearly the same {text}", found)
        for (severity, text), found in kinds.items()
    ]


def place(entry: Entry) -> str:
    """An image with its class and split."""
    return f"{entry.id} [{entry.label}{', ' + entry.split if entry.split else ''}]"
