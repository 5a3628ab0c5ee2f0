"""What an evaluation found, and ``metrics.json``, which holds it by split; the meaning of each figure is in
docs/evaluation.md.

What the first version did not write yet may be missing, and what another version adds is kept: an evaluation of one
split writes the other's figures again as they were.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from models.card import ReliabilityBin
from training.errors import TrainingError
from training.files import replace_text


class Part(BaseModel):
    """A part of an evaluation; its values don't change."""

    model_config = ConfigDict(extra="allow", frozen=True)


class Figure(Part):
    """A figure and its 95 % bootstrap interval; None where it has none."""

    value: float
    interval: tuple[float, float] | None = None


class ClassFigures(Part):
    """One class against the rest."""

    __pydantic_extra__: dict[str, Figure]
    images: int

    @property
    def figures(self) -> dict[str, Figure]:
        """By name, as :func:`training.evaluation.metrics.class_metrics` names them."""
        return self.__pydantic_extra__


class PriorFigures(Part):
    """The figures at one set of class frequencies."""

    prior: dict[str, float]
    effective_images: float | None = None
    """Images of equal weight that are worth as much as those that were weighted to the prior; None of an earlier
    version, which did not weight them."""
    metrics: dict[str, Figure]
    confusion: list[list[int]]


class ClassCoverage(Figure):
    """How often the prediction sets held the label, of its own images."""

    images: int


class PredictionSetFigures(Part):
    """The prediction sets and how they did on the split."""

    method: Literal["lac"]
    coverage_wanted: float
    thresholds: dict[str, float]
    calibrated_on: str
    guarantee: str
    coverage: Figure
    coverage_at_target_prior: float
    class_coverage: dict[str, ClassCoverage]
    mean_set_size: Figure
    set_sizes: dict[str, int]


class AttentionFigures(Part):
    """Activation maps against recorded attention; see :mod:`training.maps.attention`."""

    images: int
    correlation: float
    correlation_with_another_image: float
    overlap: float
    overlap_with_another_image: float
    overlap_by_chance: float


class Randomised(Part):
    """How much explanations resemble the trained network's after a step of the randomisation, by rank."""

    randomised_from: str
    """The values from here to the classifier are permuted."""
    map: float
    gates: float | None
    """None of a network without gates."""


class RetinaMass(Part):
    """Parts of B-scans that lie on the retina."""

    mass: float
    """Of the activation map."""
    area: float
    """Of the image: what a map has that knows nothing of the retina."""


class MapFigures(Part):
    """Whether explanations come from what the network learned; see :mod:`training.maps.sanity`."""

    images: int
    cascade: list[Randomised]
    on_retina: RetinaMass | None = None
    """None where the images are no B-scans."""


class GroupAccuracy(Figure):
    """The accuracy among some of the images."""

    images: int


class StyleShiftFigures(Part):
    """What the style shift says of the split's images."""

    usual_up_to: float
    unlike_beyond: float
    false_alarm_rate: Figure
    """The share that is not usual. On a split like the training images, each of these is a false alarm."""
    share: dict[str, Figure]
    """Of ``usual``, ``unusual`` and ``unlike``."""
    quantiles: dict[str, float]
    """Of the shift: the part of the images to the value below which they lie."""
    accuracy: dict[str, GroupAccuracy] | None
    """Of ``usual`` and ``not_usual`` images, without a group that is empty; None of a multi-label task."""


class RiskCoverage(Part):
    """The figures when images are rejected by one score."""

    accuracy: dict[str, Figure]
    """Among the answered images, by coverage."""
    aurc: Figure
    """Area under the curve of risk by coverage; lower is better."""


class SelectiveFigures(Part):
    """Accuracy when the most doubtful images are not answered; see :mod:`training.evaluation.selective`."""

    combination: str
    """How ``both`` joins the two other scores."""
    by: dict[str, RiskCoverage]
    """``style_shift``, ``confidence`` and ``both``."""


class Figures(Part):
    """The figures over all classes, and what they were measured on."""

    data: str
    split: str
    md5: str
    images: int
    patients: int | None
    """None where each image counts for itself."""
    seed: int
    interval_method: str
    metrics: dict[str, Figure]


class SplitFigures(Figures):
    """All figures of a run on a split."""

    checkpoint: str
    temperature: float
    target_prior: list[float]
    class_auc: dict[str, float]
    per_class: dict[str, ClassFigures] | None = None
    """This and what follows are None where the task has no such figures."""
    confusion: list[list[int]] | None = None
    effective_images: float | None = None
    """As of :class:`PriorFigures`, at the target prior."""
    reliability: list[ReliabilityBin] | None = None
    without_temperature: dict[str, float] | None = None
    at_prior: dict[str, PriorFigures] | None = None
    conformal: PredictionSetFigures | None = None
    confusion_by_label: dict[str, dict[str, int]] | None = None
    patient_metrics: dict[str, Figure] | None = None
    attention: AttentionFigures | None = None
    maps: MapFigures | None = None
    style_shift: StyleShiftFigures | None = None
    selective: SelectiveFigures | None = None


BY_SPLIT = TypeAdapter(dict[str, SplitFigures])


def read_figures(
    path: Path, again: str = "`python -m training evaluate` for each split that you need"
) -> dict[str, SplitFigures]:
    """Read a ``metrics.json``, or another file of figures, which the command ``again`` makes anew.

    Raises:
        TrainingError: if it is damaged.
    """
    try:
        return BY_SPLIT.validate_json(path.read_bytes())
    except ValidationError as error:
        raise damaged(path, error, again) from None


def damaged(path: Path, error: ValidationError, again: str) -> TrainingError:
    """A file of figures that is damaged, with the first fault and the command that makes it anew."""
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"]))
    fault = f"{where}: {first['msg']}" if where else first["msg"]
    return TrainingError(f"{path} is damaged ({fault}): remove it, then run {again}")


def write_figures(path: Path, by_split: Mapping[str, SplitFigures]) -> None:
    """Write a ``metrics.json``, whole or not at all."""
    content = {split: figures.model_dump(exclude_unset=True) for split, figures in by_split.items()}
    replace_text(path, json.dumps(content, indent=2) + "\n")
