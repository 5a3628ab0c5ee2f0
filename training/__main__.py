"""The command line of training: ``python -m training COMMAND``."""

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Column, Table

from training.console import console, tell
from training.data.cache.commands import cache
from training.errors import TrainingError
from training.evaluation.commands import external
from training.packaging.commands import export
from training.perturbation.commands import perturb
from training.style.commands import shift

app = typer.Typer(
    help="Train, evaluate and export SRM-ResNets on retinal images.", no_args_is_help=True, add_completion=False
)
for command in (export, shift, perturb, external):
    app.command()(command)
app.add_typer(cache, name="cache")

RecipeArgument = Annotated[str, typer.Argument(help="An included recipe (see `recipes`) or a path to a YAML file.")]
RunArgument = Annotated[Path, typer.Argument(help="A run folder that `fit` wrote.")]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a value, e.g. --set network.depth=50.")
]
OverwriteOption = Annotated[bool, typer.Option(help="Replace an existing run.")]
ResumeOption = Annotated[bool, typer.Option(help="Continue a run that was killed. Start it if it does not exist.")]
MlflowOption = Annotated[bool, typer.Option(help="Log to MLflow, as with --set tracking=mlflow.")]


@app.command()
def recipes() -> None:
    """List the recipes that come with the project."""
    from training.recipe import load_recipe, shipped_recipes

    table = Table(Column("recipe", no_wrap=True), Column("data set", no_wrap=True), "input", "network", "description")
    for name in shipped_recipes():
        recipe = load_recipe(name)
        network = recipe.network
        table.add_row(
            name,
            recipe.dataset,
            f"{recipe.input.size} px, {recipe.input.channels} ch",
            f"{network.recalibration} ResNet-{network.depth} x{network.width:g}",
            recipe.card.description,
        )
    console.print(table)


@app.command()
def download(
    name: Annotated[str, typer.Argument(help="A 2-D data set of MedMNIST, such as octmnist or retinamnist.")],
    size: Annotated[int, typer.Option(help="Height and width in pixels: 28, 64, 128 or 224.")] = 28,
    to: Annotated[Path, typer.Option(help="Folder for the file.")] = Path("data"),
) -> None:
    """Download a published data file. An interrupted download is resumed. The MD5 is checked."""
    from training.datasets.download import download

    console.print(f"{download(name, size, to)} is there, and its MD5 is the published one.")


@app.command()
def check(
    data: Annotated[
        Path | None, typer.Argument(help="A folder of images, a table (.csv), or an .npz in MedMNIST's layout.")
    ] = None,
    manifest: Annotated[Path | None, typer.Option(help="CSV; default: manifest.csv in the folder.")] = None,
    recipe: Annotated[str | None, typer.Option(help="Check the data that this recipe reads.")] = None,
    set_: SetOption = None,
    to: Annotated[Path | None, typer.Option(help="Folder for the report; default: check/<name of the data>.")] = None,
    strict: Annotated[bool, typer.Option(help="Exit with 1 for warnings too.")] = False,
) -> None:
    """Look at data before training: files, shortcuts, duplicates, patients, splits. Exits with 1 on an error."""
    from training.check import inspect, read_dataset_source, read_source
    from training.check.report import render, write_html
    from training.datasets import read_dataset
    from training.recipe import load_recipe

    if recipe is not None:
        own = [f"{key}={path}" for key, path in (("data", data), ("folder.manifest", manifest)) if path]
        source = read_dataset_source(read_dataset(load_recipe(recipe, [*own, *(set_ or ())])))
    elif data is not None:
        source = read_source(data, manifest)
    else:
        raise TrainingError("name a folder or an .npz file, or a recipe with --recipe")
    folder = to or Path("check") / source.name
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("Reading images", total=len(source.entries))
        report = inspect(source, folder, lambda: bar.advance(task))
    console.print(render(report))
    console.print(f"Report: {write_html(report, folder)}")
    if report.worst() == "error" or (strict and report.worst() == "warning"):
        raise typer.Exit(1)


@app.command()
def fit(
    recipe: RecipeArgument,
    set_: SetOption = None,
    run: Annotated[Path | None, typer.Option(help="Run folder; default: runs/<name>-<recalibration>-<seed>.")] = None,
    overwrite: OverwriteOption = False,
    resume: ResumeOption = False,
    fold: Annotated[int | None, typer.Option(help="With --folds: the fold to hold out, counted from 0.")] = None,
    folds: Annotated[
        int | None, typer.Option(help="Number of folds; one fold is held out instead of the test split.")
    ] = None,
    mlflow: MlflowOption = False,
    test: Annotated[bool, typer.Option(help="Open the test split at the end, as `evaluate` does.")] = False,
) -> None:
    """Train a recipe, then measure it on validation. The test split stays closed."""
    from training.distributed import rank
    from training.evaluation.evaluate import evaluate
    from training.evaluation.show import show
    from training.fitting.engine import fit
    from training.recipe import load_recipe

    if (fold is None) != (folds is None):
        raise TrainingError("--fold and --folds go together, for example --fold 0 --folds 5")
    held_out = [] if folds is None else [f"folds.count={folds}", f"folds.index={fold}"]
    loaded = load_recipe(recipe, [*(set_ or ()), *held_out, *tracked(mlflow)])
    fold_name = "" if folds is None else f"-fold-{fold}"
    folder = run or Path("runs") / f"{loaded.name}-{loaded.network.recalibration}-{loaded.seed}{fold_name}"
    finished = fit(loaded, folder, overwrite=overwrite, resume=resume, progress=console.is_terminal, report=tell)
    if rank():
        return
    splits: tuple[Literal["val", "test"], ...] = ("val", "test") if test else ("val",)
    for split in splits:
        show((finished.metrics().get(split) if resume else None) or evaluate(finished, split))
    console.print(f"Run folder: {folder}")
    if "test" not in finished.metrics():
        tell(f"The test split was not opened. When all choices are made: python -m training evaluate {folder}")


@app.command("cross-validate")
def cross_validate(
    recipe: RecipeArgument,
    folds: Annotated[int, typer.Option(help="Number of folds.")] = 5,
    set_: SetOption = None,
    to: Annotated[Path | None, typer.Option(help="Folder; default: runs/<name>-<recalibration>-<seed>-folds.")] = None,
    overwrite: OverwriteOption = False,
    resume: ResumeOption = False,
    mlflow: MlflowOption = False,
) -> None:
    """Train a recipe once for each fold, and measure all held-out images together.

    An official test split is not opened.
    """
    from training.comparison.cross_validation import cross_validate
    from training.evaluation.figures import Figures
    from training.evaluation.show import show
    from training.recipe import load_recipe

    loaded = load_recipe(recipe, [*(set_ or ()), *tracked(mlflow)])
    folder = to or Path("runs") / f"{loaded.name}-{loaded.network.recalibration}-{loaded.seed}-folds"
    report = cross_validate(
        loaded, folder, folds, overwrite=overwrite, resume=resume, progress=console.is_terminal, report=tell
    )
    if report:
        show(Figures.model_validate(report))
        console.print(f"Folder: {folder}")


def tracked(mlflow: bool) -> list[str]:
    return ["tracking=mlflow"] if mlflow else []


@app.command()
def evaluate(
    run: RunArgument,
    split: Annotated[Literal["val", "test"], typer.Option(help="Opening the test split is logged.")] = "test",
) -> None:
    """Measure a run on a split, with intervals, into its metrics.json."""
    from training.evaluation.evaluate import evaluate
    from training.evaluation.show import show
    from training.run import Run

    show(evaluate(Run.open(run), split))


@app.command()
def report(
    run: RunArgument,
    split: Annotated[
        Literal["val", "test"] | None, typer.Option(help="Default: test if it was evaluated, else val.")
    ] = None,
    metadata: Annotated[
        Path | None,
        typer.Option(help="CSV with a column id, file or patient, and subgroups; default: your own table's."),
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Default: report.html in the run folder.")] = None,
    images: Annotated[bool, typer.Option(help="Show misclassified images.")] = True,
) -> None:
    """Write the evaluation of a run as one HTML file. It reads no images."""
    from training.report import write_run_report
    from training.run import Run

    console.print(f"Report: {write_run_report(Run.open(run), split, metadata=metadata, output=output, images=images)}")


@app.command()
def compare(
    recipe: RecipeArgument,
    recalibration: Annotated[str, typer.Option(help="Kinds to compare, separated by commas.")] = "none,se,ge,srm",
    seeds: Annotated[
        int, typer.Option(min=1, help="Number of runs of each kind. Seeds count up from the seed of the recipe.")
    ] = 5,
    set_: SetOption = None,
    baseline: Annotated[
        str | None, typer.Option(help="The kind that the others are compared with; default: none, or the first.")
    ] = None,
    runs: Annotated[Path, typer.Option(help="Folder of the run folders. Finished runs are used as they are.")] = Path(
        "runs"
    ),
    split: Annotated[Literal["val", "test"], typer.Option(help="Opening the test split is logged.")] = "val",
    jobs: Annotated[int, typer.Option(min=1, help="Runs trained at once, each with one thread.")] = 1,
    timing: Annotated[float, typer.Option(min=0, help="Seconds for each measurement of time; 0 for none.")] = 30,
) -> None:
    """Compare kinds of recalibration over seeds: figures, paired tests and cost. Missing runs are trained."""
    from training.comparison.compare import compare, plan
    from training.comparison.tables import show_comparison, write_comparison

    kinds = [kind.strip() for kind in recalibration.split(",")]
    members = plan(recipe, set_ or (), kinds, seeds, runs)
    found = compare(
        members,
        baseline or ("none" if "none" in kinds else kinds[0]),
        split,
        jobs=jobs,
        seconds=timing,
        report=tell,
        progress=console.is_terminal,
    )
    paths = write_comparison(found, runs / f"{found['name']}-comparison-{split}")
    show_comparison(found, console)
    console.print("Written: " + ", ".join(map(str, paths)), soft_wrap=True)
    if found["failed"]:
        reasons = "".join(f"\n  {folder}: {reason}" for folder, reason in found["failed"].items())
        raise TrainingError(f"these runs failed and are not in the comparison:{reasons}")


@app.command()
def analyse(
    run: RunArgument,
    split: Annotated[Literal["val", "test"], typer.Option(help="Opening the test split is logged.")] = "val",
    against: Annotated[Path | None, typer.Option(help="Another run on the same data, to compare with.")] = None,
    images: Annotated[bool, typer.Option(help="Show the images with the highest and lowest gates.")] = True,
) -> None:
    """Analyse the gates of a run: correlation between channels, pruning, classes, images. Writes analysis.html."""
    from training.gates.analyse import analyse
    from training.run import Run

    other = None if against is None else Run.open(against)
    found = analyse(Run.open(run), split, against=other, images=images, report=tell)
    shown, name = found["runs"][0]["pruning"]["lowest"][::3], found["runs"][0]["pruning"]["figures"][0]
    table = Table("run", "mean |r|", *(f"{name}, {step['fraction']:.0%} pruned" for step in shown))
    for each in found["runs"]:
        steps, together = each["pruning"]["lowest"][::3], each["mean_absolute_correlation"]
        correlation = "none" if together is None else f"{together:.3f}"
        table.add_row(
            f"{each['recalibration']}, {Path(each['run']).name}", correlation, *(f"{step[name]:.3f}" for step in steps)
        )
    console.print(table)
    console.print(f"Written: {run / 'analysis.html'} and {run / 'analysis.json'}", soft_wrap=True)


def main() -> None:
    """Run the command line. A mistake of the user gives one sentence, not a traceback."""
    try:
        app()
    except TrainingError as error:
        Console(stderr=True).print(f"Error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
