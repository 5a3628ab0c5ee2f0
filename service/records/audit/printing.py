"""The tables of ``python -m service audit``. They fit 80 columns."""

from collections.abc import Sequence
from itertools import groupby

from rich import box
from rich.console import Console
from rich.table import Table

from service.records.audit.accuracy import Figures
from service.records.audit.drift import Drift


def accuracy_table(figures: Sequence[Figures]) -> Table:
    """A line for each period, and a bold line for each model over the whole time."""
    shown = columns("records", "fed back", "accuracy (95 %)", "ECE", "Brier")
    for row in figures:
        accuracy = short(row.accuracy)
        if row.interval is not None:
            accuracy += " ({}-{})".format(*map(short, row.interval))
        part = f"{row.fed_back:,} ({row.fed_back / row.predictions:.0%})"
        last = row.period is None
        shown.add_row(
            f"{row.model} {row.version}",
            row.period or "all",
            f"{row.predictions:,}",
            part,
            accuracy,
            short(row.ece),
            short(row.brier),
            style="bold" if last else "",
            end_section=last,
        )
    return shown


def show_drift(console: Console, rows: Sequence[Drift]) -> None:
    """Print a line for each period, then what each model was compared with."""
    shown = columns("images", "unusual", "unlike", "PSI", "p", "style")
    notes = []
    for _, group in groupby(rows, key=lambda row: (row.model, row.version, row.digest)):
        periods = list(group)
        for row in periods:
            shown.add_row(
                f"{row.model} {row.version}",
                row.period,
                f"{row.images:,}",
                part(row.unusual),
                part(row.unlike),
                short(row.psi_corrected),
                chance(row.p_value),
                row.verdict,
                style="bold" if row.verdict in ("shifted", "drifted") else "",
                end_section=row is periods[-1],
            )
        notes.append(note(periods))
    console.print(shown)
    for line in notes:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def note(periods: Sequence[Drift]) -> str:
    """Say what a model was compared with, and how many of its images could not be."""
    first = periods[0]
    text = f"{first.model} {first.version} ({first.digest.removeprefix('sha256:')[:8]}): {compared_with(first)}."
    without = sum(row.without_score for row in periods)
    return text + (f" {without:,} image{'s' if without > 1 else ''} without a score." if without else "")


def compared_with(row: Drift) -> str:
    source = row.reference
    if source is None:
        return "nothing to compare with: no package with its digest, or too few records"
    if source.kind == "validation":
        return f"compared with the {source.images:,} validation images of its card"
    first, last = source.periods[0], source.periods[-1]
    when = first if first == last else f"{first} to {last}"
    return f"compared with its first records ({when}, {source.images:,} images): no package with its digest"


def columns(*names: str) -> Table:
    table = Table("model", "period", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def part(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def chance(p_value: float | None) -> str:
    return "<.001" if p_value is not None and p_value < 0.001 else short(p_value)


def short(value: float | None) -> str:
    """Three decimals without the leading zero, as in the figures of this project."""
    return "-" if value is None else f"{value:.3f}".removeprefix("0")
