"""``python -m training shift``. What it needs is imported when it runs."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Literal

import typer

from training.errors import TrainingError


def shift(
    source: Annotated[Path, typer.Argument(help="A run folder, or a package (model.onnx) with --recipe.")],
    against: Annotated[list[str] | None, typer.Option(help="NAME=FOLDER of other images; repeatable.")] = None,
    recipe: Annotated[str | None, typer.Option(help="That reads a package's own data.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change its values.")] = None,
    corruptions: Annotated[
        Literal["oct", "fundus"] | None, typer.Option(help="Whose; default: by the card's scope, else oct.")
    ] = None,
    side: Annotated[
        int | None, typer.Option(help="Change pictures at this many pixels, before the resize; default: after it.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="JSON file to write.")] = None,
) -> None:
    """Measure how well the style shift tells unusual images from the test split, beside other scores.

    Unusual are corrupted, inverted and letterboxed images, blank and noise frames, pages of text, and other folders.
    """
    import onnxruntime

    from models.package import read_card
    from training.datasets import read_dataset
    from training.packaging.export import export
    from training.recipe import load_package_recipe
    from training.run import Run
    from training.style.corruptions import FUNDUS, OCT
    from training.style.detection import detect

    with TemporaryDirectory() as temporary:
        if source.suffix == ".onnx":
            package, chosen = source, load_package_recipe(recipe, set_ or ())
        else:
            run = Run.open(source)
            package, chosen = export(run, Path(temporary)), run.recipe()
        scope = read_card(onnxruntime.InferenceSession(package, providers=["CPUExecutionProvider"])).scope
        fundus = scope is not None and scope.modality == "colour fundus photograph"
        kind = corruptions or ("fundus" if fundus else "oct")
        figures = detect(
            package,
            read_dataset(chosen),
            {"oct": OCT, "fundus": FUNDUS}[kind],
            against=folders(against or []),
            side=side,
        )
    if output is not None:
        output.write_text(json.dumps(figures, indent=2))


def folders(entries: list[str]) -> dict[str, Path]:
    """Names and folders of ``NAME=FOLDER``."""
    found = {}
    for entry in entries:
        name, separator, folder = entry.partition("=")
        if not separator or not Path(folder).is_dir():
            raise TrainingError(f"--against {entry}: expected NAME=FOLDER, with a folder that exists")
        found[name] = Path(folder)
    return found
