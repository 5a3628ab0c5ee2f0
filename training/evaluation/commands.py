"""``python -m training external``. What it needs is imported when it runs."""

from pathlib import Path
from typing import Annotated

import typer


def external(
    run: Annotated[Path, typer.Argument(help="A run folder that `fit` wrote.")],
    name: Annotated[str, typer.Argument(help="What the card calls these data, such as IDRiD.")],
    recipe: Annotated[str, typer.Option(help="That reads them; of its values only the data count.")] = "folder",
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change its values, e.g. data=FOLDER.")
    ] = None,
) -> None:
    """Measure a run on all images of other data with the same labels, for its card. Nothing is fitted on them."""
    from training.datasets import read_dataset
    from training.evaluation.external import evaluate_external
    from training.evaluation.show import show
    from training.recipe import load_recipe
    from training.run import Run

    other = read_dataset(load_recipe(recipe, [f"task={Run.open(run).recipe().task}", *(set_ or ())]))
    show(evaluate_external(Run.open(run), other, name))
