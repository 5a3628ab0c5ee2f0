"""``python -m training perturb``. What it needs is imported when it runs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.progress import Progress
from rich.table import Table

from training.console import console
from training.errors import TrainingError

if TYPE_CHECKING:
    from training.evaluation.figures import Figure
    from training.perturbation.figures import Perturbations


def perturb(
    source: Annotated[Path, typer.Argument(help="A run folder, or a package (model.onnx) with --recipe.")],
    split: Annotated[Literal["val", "test"], typer.Option(help="Opening a run's test split is logged.")] = "val",
    recipe: Annotated[str | None, typer.Option(help="That reads a package's own data.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change its values.")] = None,
    output: Annotated[
        Path | None, typer.Option(help="JSON file; default: perturbations-<split>.json in a run folder.")
    ] = None,
) -> None:
    """Measure what ordinary changes cost: frames, captions, other light, geometry and quality, at a file's own size."""
    from training.datasets import read_dataset
    from training.perturbation.figures import perturbations_path, write_perturbations
    from training.perturbation.sources import perturb_package, perturb_run
    from training.recipe import load_package_recipe
    from training.run import Run

    if output is not None and not output.parent.is_dir():
        raise TrainingError(f"{output} can't be written: {output.parent} is not a folder")
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("Changing images", total=None)
        if source.suffix == ".onnx":
            data = read_dataset(load_package_recipe(recipe, set_ or ()))
            found = perturb_package(source, data, split, lambda images: bar.advance(task, images))
        else:
            run = Run.open(source)
            found = perturb_run(run, split, lambda images: bar.advance(task, images))
            output = output or perturbations_path(run, split)
    console.print(table(found))
    if output is not None:
        write_perturbations(output, found)
        console.print(f"Written: {output}", soft_wrap=True)


def table(found: "Perturbations") -> Table:
    """A row for each change, the largest loss first, and one for the unchanged images."""
    from training.perturbation.figures import Perturbed

    names = list(found.unchanged.metrics)
    title = f"{found.data}, {found.split} split, {found.images} images"
    shown = Table("change", *(word(name) for name in names), "difference", "not usual", title=title)
    shown.caption = f"Differences of {word(found.sorted_by)} to the unchanged images. {found.interval_method}."
    for name, row in [("unchanged", found.unchanged), *((each.name, each) for each in found.changes)]:
        values = (f"{row.metrics[metric].value:.3f}" for metric in names)
        difference = signed(row.differences[found.sorted_by]) if isinstance(row, Perturbed) else ""
        shown.add_row(name, *values, difference, f"{row.flagged.value:.0%}")
    return shown


def word(name: str) -> str:
    return name.replace("_", " ").replace("auc", "AUC")


def signed(figure: "Figure") -> str:
    """A difference with its interval."""
    return f"{figure.value:+.3f}" + (" ({:+.3f} to {:+.3f})".format(*figure.interval) if figure.interval else "")
