"""``python -m training export``. What it needs is imported when it runs."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from training.console import console


def export(
    run: Annotated[Path, typer.Argument(help="A run folder that `fit` wrote.")],
    repository: Annotated[Path, typer.Option(help="Model repository to write into.")] = Path("model-repository"),
    name: Annotated[str | None, typer.Option(help="Model name; default: the recipe's.")] = None,
    version: Annotated[
        str, typer.Option(help="A positive whole number. A version that is there is kept, unless you add --overwrite.")
    ] = "1",
    precision: Annotated[
        Literal["float32", "int8"],
        typer.Option(help="int8: 8-bit convolutions, as the model NAME-int8; refused if the answers change too much."),
    ] = "float32",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace this version in the repository.")] = False,
) -> None:
    """Write a run's network as a model package, verified against PyTorch."""
    from training.packaging.export import export
    from training.run import Run

    path = export(Run.open(run), repository, name=name, version=version, precision=precision, overwrite=overwrite)
    console.print(f"{path} ({path.stat().st_size / 1e6:.1f} MB). Serve it: python -m service --repository {repository}")
