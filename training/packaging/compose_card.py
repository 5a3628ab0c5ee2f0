"""Compose the model card of a finished run from its recipe, its facts and its figures."""

from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from models.card import (
    Block,
    Calibration,
    Card,
    Conformal,
    GateReference,
    MeasuredCoverage,
    Measurement,
    Result,
    StyleReference,
)
from models.perturbation import PerturbationResult
from models.resnet import ResNet
from models.scope import ImagingScope
from models.verification import Parity
from training.errors import TrainingError
from training.evaluation import external
from training.evaluation.figures import Figure, SplitFigures
from training.evaluation.predict import NetworkOutputs
from training.perturbation.figures import Perturbations, kept_perturbations
from training.recipe import Recipe
from training.run import Run, RunFacts, library_versions

ANSWERED_80_PERCENT = {
    "accuracy_on_the_most_confident_80_percent": "confidence",
    "accuracy_on_the_most_confident_and_usual_80_percent": "both",
}
"""Results of a card to the score by which the other images are rejected."""


def compose_card(
    run: Run,
    facts: RunFacts,
    calibration: Calibration,
    train: NetworkOutputs,
    style: StyleReference,
    parity: Parity,
    name: str,
    version: str,
) -> Card:
    recipe, report = run.recipe(), run.metrics()["test"]
    try:
        return Card(
            name=name,
            version=version,
            description=recipe.card.description,
            task=recipe.task,
            labels=facts.labels,
            input=facts.input,
            architecture=facts.architecture,
            blocks=blocks_of(run.network(recipe.checkpoint)),
            gate_reference=gate_reference(train.gates),
            training_data=facts.training_data,
            initial_weights=facts.initial_weights,
            measured=measurement(run, recipe, report),
            calibration=calibration,
            conformal=conformal(report),
            style=style,
            scope=None if recipe.card.modality is None else ImagingScope.of(recipe.card.modality),
            parity=parity,
            intended_use=recipe.card.intended_use,
            limits=recipe.card.limits,
            source_commit=facts.source_commit,
            libraries=library_versions(),
            recipe=recipe.model_dump(mode="json", exclude={"card": True, "data": True, "network": {"initial_weights"}}),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        )
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise TrainingError(f"the model card is incomplete, so no package was written: {faults}") from None


def blocks_of(network: ResNet) -> list[Block]:
    """The position of the gates of each block in the concatenated recalibration weights."""
    blocks, offset = [], 0
    for name, block in network.blocks().items():
        if block.recalibration is not None:
            blocks.append(Block(name=name, offset=offset, channels=block.out_channels))
            offset += block.out_channels
    return blocks


def gate_reference(gates: NDArray[np.float32]) -> GateReference | None:
    """Mean and standard deviation of each gate over the training images; None without recalibration."""
    if gates.shape[1] == 0:
        return None
    return GateReference(
        mean=[round(float(value), 5) for value in gates.mean(axis=0)],
        std=[round(float(value), 5) for value in gates.std(axis=0)],
        images=len(gates),
    )


def conformal(report: SplitFigures) -> Conformal | None:
    """The prediction sets that the evaluation stored. None if it stored none."""
    sets = report.conformal
    if sets is None:
        return None
    return Conformal(
        method=sets.method,
        coverage=sets.coverage_wanted,
        thresholds=list(sets.thresholds.values()),
        calibrated_on=sets.calibrated_on,
        guarantee=sets.guarantee,
        measured=MeasuredCoverage(
            data=report.data,
            split=report.split,
            images=report.images,
            coverage=sets.coverage.value,
            interval=sets.coverage.interval,
            by_label={label: row.value for label, row in sets.class_coverage.items()},
            mean_set_size=sets.mean_set_size.value,
        ),
    )


def trust_figures(report: SplitFigures) -> dict[str, Figure]:
    """How often the style shift warns of test images, and how good the answers are without the most doubtful fifth."""
    found = {}
    if report.style_shift is not None:
        found["style_shift_false_alarms"] = report.style_shift.false_alarm_rate
    if report.selective is not None:
        for name, score in ANSWERED_80_PERCENT.items():
            found[name] = report.selective.by[score].accuracy["0.80"]
    return found


def perturbation_results(found: Perturbations) -> list[PerturbationResult]:
    """What each change costs of the figure by which the changes are in order."""
    return [
        PerturbationResult(
            name=change.name,
            meaning=change.meaning,
            metric=found.sorted_by,
            value=change.metrics[found.sorted_by].value,
            difference=change.differences[found.sorted_by].value,
            interval=change.differences[found.sorted_by].interval,
            flagged=change.flagged.value,
        )
        for change in found.changes
    ]


def measurement(run: Run, recipe: Recipe, report: SplitFigures) -> Measurement:
    """The test figures as they were stored, the chief ones of other data, and how often the split was opened."""
    openings, perturbations = len(run.test_openings()), kept_perturbations(run, "test")
    times = "once" if openings == 1 else f"{openings} times"
    chosen = "last epoch" if recipe.checkpoint == "last" else f"best epoch by {recipe.select_by} on validation"
    return Measurement(
        results=[
            *results(report, report.metrics | trust_figures(report)),
            *(
                result
                for other in external.read(run).values()
                for result in results(other, {name: other.metrics[name] for name in external.headline(other)})
            ),
        ],
        interval_method=report.interval_method,
        seeds=1,
        selection=f"recipe chosen on validation data; {chosen}; test split opened {times} in this run",
        confusion=report.confusion,
        reliability=report.reliability,
        effective_images=report.effective_images,
        perturbations=None if perturbations is None else perturbation_results(perturbations),
    )


def results(report: SplitFigures, figures: dict[str, Figure]) -> list[Result]:
    return [
        Result(
            metric=metric,
            value=figure.value,
            interval=figure.interval,
            data=report.data,
            split=report.split,
            images=report.images,
        )
        for metric, figure in figures.items()
    ]
