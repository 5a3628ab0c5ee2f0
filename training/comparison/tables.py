"""A comparison as files: ``comparison.json`` holds everything, ``comparison.md`` and ``comparison.csv`` its tables."""

import csv
import io
import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from training.files import replace_text

COLUMNS = ("kind", "figure", "seeds", "mean", "sd", "difference", "low", "high", "p", "p_holm")
CONVENTION = (
    "Multiply-adds for one image: a multiplication with its addition is one operation, as FLOPs in papers on ResNets."
)
Rows = list[list[str]]


def write_comparison(comparison: dict[str, Any], folder: Path) -> list[Path]:
    """Write the three files, each whole or not at all, and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    contents = {
        "json": json.dumps(comparison, indent=2) + "\n",
        "md": markdown(comparison),
        "csv": comma_separated(comparison),
    }
    paths = []
    for suffix, text in contents.items():
        paths.append(folder / f"comparison.{suffix}")
        replace_text(paths[-1], text)
    return paths


def show_comparison(comparison: dict[str, Any], console: Console) -> None:
    """Print the tables of ``comparison.md`` on a terminal."""
    notes = {
        figure_table: title(comparison),
        difference_table: comparison["method"],
        cost_table: timing_note(comparison),
    }
    for make, caption in notes.items():
        heading, rows = make(comparison)
        if rows:
            table = Table(*heading, caption=caption)
            for row in rows:
                table.add_row(*row)
            console.print(table)


def title(comparison: dict[str, Any]) -> str:
    patients = f" of {comparison['patients']} patients" if comparison["patients"] else ""
    return f"{comparison['data']}, {comparison['split']} split, {comparison['images']} images{patients}"


def figure_table(comparison: dict[str, Any]) -> tuple[list[str], Rows]:
    """Heading and rows: each kind's mean and spread, the figure that the recipe chooses by first."""
    kinds = comparison["kinds"]
    rows = []
    for name in figure_names(comparison):
        figures = [entry["figures"][name] for entry in kinds.values()]
        rows.append([name, *(f"{f['mean']:.3f}" + ("" if f["sd"] is None else f" ±{f['sd']:.3f}") for f in figures)])
    return ["figure", *(f"{kind} ({len(entry['seeds'])} seeds)" for kind, entry in kinds.items())], rows


def figure_names(comparison: dict[str, Any]) -> list[str]:
    names = comparison["kinds"][comparison["baseline"]]["figures"]
    return sorted(names, key=lambda name: name != comparison["primary"])


def difference_table(comparison: dict[str, Any]) -> tuple[list[str], Rows]:
    """Heading and rows: each kind less the baseline, figure by figure."""
    rows = []
    for kind, entry in comparison["kinds"].items():
        for name in figure_names(comparison) if entry["differences"] else []:
            found = entry["differences"][name]
            interval = found["interval"] or found["patient_interval"]
            rows.append(
                [
                    kind,
                    name,
                    f"{found['difference']:+.3f}",
                    "{:+.3f} to {:+.3f}".format(*interval) if interval else "none",
                    probability(found["p"]),
                    probability(found["p_holm"]),
                ]
            )
    return [f"kind - {comparison['baseline']}", "figure", "difference", "95 % interval", "p", "p (Holm)"], rows


def cost_table(comparison: dict[str, Any]) -> tuple[list[str], Rows]:
    """Heading and rows: parameters and operations, and times as multiples of the baseline's."""
    heading, rows = ["recalibration", "parameters", "multiply-adds"], []
    if comparison["timing"]:
        heading += ["inference time (quartiles)", "training step (quartiles)"]
    for kind, entry in comparison["kinds"].items():
        cost = entry["cost"]
        row = [kind, f"{cost['parameters']:,}", operations(cost["multiply_adds"])]
        for phase in ("inference", "training") if comparison["timing"] else ():
            low, high = cost[phase]["quartiles"]
            row.append(f"x{cost[phase]['ratio']:.3f} ({low:.3f} to {high:.3f}), {cost[phase]['milliseconds']:.1f} ms")
        rows.append(row)
    return heading, rows


def timing_note(comparison: dict[str, Any]) -> str:
    timing = comparison["timing"]
    if timing is None:
        return CONVENTION
    return (
        f"{CONVENTION} Times of a batch of {timing['batch_size']} on {timing['device']}, float32, as multiples of "
        f"{comparison['baseline']}'s: medians over interleaved rounds. Inference is the folded network's, as served."
    )


def markdown(comparison: dict[str, Any]) -> str:
    parts = [f"# {comparison['name']}: recalibration compared\n\n{title(comparison)}.\n"]
    parts.append(markdown_table(*figure_table(comparison)))
    differences = difference_table(comparison)
    if differences[1]:
        parts.append(markdown_table(*differences))
    parts.append(comparison["method"] + "\n")
    parts.append(markdown_table(*cost_table(comparison)))
    parts.append(timing_note(comparison) + "\n")
    if comparison["failed"]:
        lines = [f"- {folder}: {' '.join(reason.split())}" for folder, reason in comparison["failed"].items()]
        parts.append("Failed, and left out above:\n\n" + "\n".join(lines) + "\n")
    parts.append(f"Source commit {comparison['source_commit']}.\n")
    return "\n".join(parts)


def markdown_table(heading: list[str], rows: Rows) -> str:
    lines = [heading, ["---"] * len(heading), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def comma_separated(comparison: dict[str, Any]) -> str:
    """One row for each kind and figure, costs included. A missing value is empty."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for kind, entry in comparison["kinds"].items():
        for name, figure in entry["figures"].items():
            found = (entry["differences"] or {}).get(name, {})
            low, high = found.get("interval") or found.get("patient_interval") or (None, None)
            row = {
                "kind": kind,
                "figure": name,
                "seeds": len(entry["seeds"]),
                "mean": figure["mean"],
                "sd": figure["sd"],
            }
            row |= {key: found.get(key) for key in ("difference", "p", "p_holm")}
            writer.writerow(row | {"low": low, "high": high})
        for name, value in entry["cost"].items():
            mean = value["ratio"] if isinstance(value, dict) else value
            writer.writerow(
                {"kind": kind, "figure": f"{name}_ratio" if isinstance(value, dict) else name, "mean": mean}
            )
    return stream.getvalue()


def probability(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" if value >= 0.001 else "< 0.001"


def operations(count: int) -> str:
    return f"{count / 1e9:.3f} G" if count >= 1e9 else f"{count / 1e6:.2f} M"
