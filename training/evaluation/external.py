"""A run's figures on data of another origin: another camera, clinic or country."""

from dataclasses import replace
from pathlib import Path

from training.datasets import DataSet, Item
from training.errors import TrainingError
from training.evaluation.evaluate import make_ready, measure, measure_trust, scores_of
from training.evaluation.figures import SplitFigures, read_figures, write_figures
from training.evaluation.predict import predict
from training.run import Run

SPLIT = "external"


def evaluate_external(run: Run, other: DataSet, name: str) -> SplitFigures:
    """Measure a run's network on all images of another data set, and keep the figures under a name.

    Nothing is fitted on the other data: calibration, prediction sets and style reference are the run's own.

    Raises:
        TrainingError: if the other data have other labels.
    """
    recipe, facts = run.recipe(), run.facts()
    items = relabelled(other, facts.labels)
    own, network, reference, validation, calibrator = make_ready(run)
    outputs = predict(network, items, facts, reference.module)
    scores = None if own.multi_label else scores_of(calibrator, validation, outputs)
    found = measure(recipe, replace(own, name=name, md5=other.md5), calibrator, None, outputs, items)
    trust = measure_trust(reference.reference, calibrator, outputs, scores, items)
    figures = SplitFigures.model_validate(found | trust | {"split": SPLIT})
    write_figures(path_in(run), read(run) | {name: figures})
    return figures


def relabelled(other: DataSet, labels: list[str]) -> list[Item]:
    """All items of the other data set, with classes counted as in ``labels``."""
    if sorted(other.labels) != sorted(labels):
        raise TrainingError(
            f"{other.name} has the labels {', '.join(other.labels)}, and the network {', '.join(labels)}: they must be "
            "the same"
        )
    place = [other.labels.index(label) for label in labels]

    def own(label: int | tuple[int, ...]) -> int | tuple[int, ...]:
        return place.index(label) if isinstance(label, int) else tuple(label[index] for index in place)

    return [item._replace(label=own(item.label)) for items in other.splits.values() for item in items]


def read(run: Run) -> dict[str, SplitFigures]:
    """The figures by name; none where nothing was measured.

    Raises:
        TrainingError: if the file is damaged.
    """
    path = path_in(run)
    return read_figures(path, "`python -m training external` for each data set") if path.is_file() else {}


def path_in(run: Run) -> Path:
    return run.folder / "external.json"


def headline(figures: SplitFigures) -> list[str]:
    """The names of the few figures that the card shows of other data."""
    wanted = ("accuracy", "balanced_accuracy", "macro_auc", "quadratic_kappa")
    return [name for name in wanted if name in figures.metrics]
