"""A check as tables for people: on the terminal, and in ``check.html``, which contains its pictures."""

import base64
import io
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from training.check import Report
from training.check.finding import count
from training.check.neighbours import Kinship

COLOURS = {"error": "bold red", "warning": "yellow", "info": "cyan"}
PICTURES = {
    "contact-sheet.png": "Some images of each class, drawn at random",
    "near-duplicates.png": "Near duplicates, a pair a row",
}


def render(report: Report) -> RenderableType:
    """All tables, the findings last."""
    parts: list[RenderableType] = [counts_table(report), kinds_table(report)]
    if report.shortcuts:
        parts.append(shortcut_table(report))
    parts.append(duplicates_text(report))
    parts += [kinship_text(found) for found in report.kinship]
    return Group(*parts, findings_table(report))


def counts_table(report: Report) -> Table:
    splits = list(report.counts)
    table = Table("class", *splits, title=f"{escape(report.data)}: {report.images:,} images")
    for column in table.columns[1:]:
        column.justify = "right"
    for label in next(iter(report.counts.values())):
        cells = []
        for split in splits:
            number, total = report.counts[split][label], report.images_by_split[split]
            cells.append(f"{number:,} ({number / total:.0%})")
        table.add_row(escape(label), *cells)
    table.add_section()
    table.add_row("all", *(f"{report.images_by_split[split]:,}" for split in splits))
    return table


def kinds_table(report: Report) -> Table:
    table = Table("class", "sizes (images)", "encodings (images)", title="What the files are", show_lines=True)
    for label in report.sizes:
        cells = [
            "\n".join(f"{name} ({number:,})" for name, number in of_class.items())
            for of_class in (report.sizes[label], report.encodings[label])
        ]
        table.add_row(escape(label), *map(escape, cells))
    return table


def shortcut_table(report: Report) -> Table:
    table = Table(
        "told apart by",
        "balanced accuracy",
        "95 % interval",
        "chance",
        "",
        title="Classes without looking at the retina",
    )
    for shortcut in report.shortcuts:
        low, high = shortcut.interval
        verdict = Text("gives classes away", "yellow") if shortcut.suspicious else Text("no more than chance or little")
        table.add_row(
            shortcut.kind,
            f"{shortcut.balanced_accuracy:.2f}",
            f"{low:.2f} to {high:.2f}",
            f"{shortcut.chance:.2f}",
            verdict,
        )
    return table


def duplicates_text(report: Report) -> Text:
    near = report.near_duplicates
    text = (
        f"Near duplicates differ in at most {near.max_distance} of 256 bits of pHash, and correlate by "
        f"{near.min_correlation} or more ({near.min_correlation_turned} if mirrored or turned): "
        f"{count(near.pairs, 'pair')}. "
    )
    if near.false_alarms is None:
        text += "Patients are unknown, so the number of false alarms is unknown too: look at near-duplicates.png. "
    else:
        alarms, pairs = near.false_alarms
        text += f"{alarms:,} of {pairs:,} pairs of different patients match, which are false alarms or one person's. "
    found = ", ".join(f"{name} {part:.0%}" for name, part in near.copies_found.items())
    return Text(f"{text}Altered copies of these images that would be found: {found}.\n")


def kinship_text(found: Kinship) -> Text:
    mean, low, high = found.own_by_chance
    across, least, most = found.near_across_by_chance
    text = (
        f"{found.split} and train: {found.own:.1%} of the {found.split} images have their nearest neighbour in "
        f"{found.split}; were the split drawn image by image, {mean:.1%} ({low:.1%} to {high:.1%}; "
        f"p = {found.p_value:.2g}). Near-duplicate pairs across the two: {found.near_across}, by such a draw "
        f"{across:.1f} ({least:.0f} to {most:.0f})."
    )
    if found.own > high:
        text += " So look-alikes were kept together, as by a split by patient, or the two come from different sources."
    else:
        text += (
            " That is no more than a draw image by image gives, from which nothing follows: it may have been one, or "
        )
        text += "images of one patient do not look alike here."
    return Text(f"{text}\n")


def findings_table(report: Report) -> Table:
    table = Table("", "check", "finding", title="Findings", show_lines=True)
    for finding in report.findings:
        text = Text(finding.message)
        for example in finding.examples[:5]:
            text.append(f"\n  {example}", "dim")
        if len(finding.examples) > 5:
            text.append("\n  more in check.json", "dim")
        table.add_row(Text(finding.severity, COLOURS[finding.severity]), finding.check, text)
    return table


def write_html(report: Report, folder: Path) -> Path:
    """Write ``check.html``: the tables, and the pictures of the folder inside the file."""
    console = Console(record=True, file=io.StringIO(), width=150)
    console.print(render(report))
    page = console.export_html(inline_styles=True)
    pictures = []
    for name, title in PICTURES.items():
        if (folder / name).is_file():
            data = base64.b64encode((folder / name).read_bytes()).decode()
            pictures.append(f'<h2>{title}</h2><img alt="{title}" src="data:image/png;base64,{data}">')
    path = folder / "check.html"
    path.write_text(page.replace("</body>", "\n".join(pictures) + "</body>"), encoding="utf-8")
    return path
