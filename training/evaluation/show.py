"""An evaluation as a table in the terminal."""

from rich.table import Table

from training.console import console
from training.evaluation.figures import Figures


def show(report: Figures) -> None:
    """Print an evaluation as a table."""
    title = f"{report.data}, {report.split} split, {report.images} images"
    table = Table("figure", "value", "95 % interval", title=title, caption=report.interval_method)
    for name, figure in report.metrics.items():
        shown = "{:.4f} to {:.4f}".format(*figure.interval) if figure.interval else "none"
        table.add_row(name, f"{figure.value:.4f}", shown)
    console.print(table)
