"""The model card: everything a package says about itself. No torch here.

The card travels as JSON in the ONNX file's ``metadata_props["card"]``. Its sections follow Mitchell et al., "Model
Cards for Model Reporting", FAT* 2019, https://arxiv.org/abs/1810.03993. Every field is required unless a default
is given: a package without a complete card is not written.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from models.architecture import Architecture
from models.perturbation import PerturbationResult
from models.provenance import InitialWeights, TrainingData
from models.scope import ImagingScope
from models.section import Section, Text
from models.verification import Parity, Quantisation

OUTPUTS = ("probabilities", "recalibration_weights", "class_activation")
STYLE_OUTPUTS = ("style_shift", "style_shift_by_block")
NAME_PATTERN = "[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
VERSION_PATTERN = "[1-9][0-9]{0,8}"
Name = Annotated[str, StringConstraints(pattern=f"^{NAME_PATTERN}$")]
"""A model's name: it becomes a folder and a part of an address."""
Version = Annotated[str, StringConstraints(pattern=f"^{VERSION_PATTERN}$")]
"""A positive whole number, as Triton's repository layout asks."""
Verdict = Literal["usual", "unusual", "unlike"]
Task = Literal["multi-class", "multi-label", "ordinal"]
Content = Literal["all", "b-scan", "fundus"]
Precision = Literal["float32", "int8"]


class InputSpec(Section):
    """How an image becomes the network's input; :mod:`models.preprocessing` does it."""

    height: int = Field(ge=1)
    width: int = Field(ge=1)
    channels: Literal[1, 3]
    content: Content = "all"
    """What is kept first: ``all``, a ``b-scan`` without the borders around it, or the field of view of a ``fundus``
    photograph, by the rules of :mod:`models.preprocessing.content`."""
    crop: Literal["centre-square", "none"] = "centre-square"
    """``centre-square`` keeps the largest centred square; ``none`` keeps all and lets the aspect ratio change."""
    interpolation: Literal["bicubic", "bilinear"] = "bicubic"
    """Always antialiased, as Pillow does it."""


class Block(Section):
    """Where one block's gates stand in ``recalibration_weights``."""

    name: Text
    offset: int = Field(ge=0)
    channels: int = Field(ge=1)


class GateReference(Section):
    """Each gate's mean and standard deviation over the training images, without augmentation."""

    mean: list[float]
    std: list[float]
    images: int = Field(ge=1)


class Result(Section):
    """One measured figure."""

    metric: Text
    value: float
    interval: tuple[float, float] | None
    """95 % bootstrap interval; None where it makes no sense."""
    data: Text
    split: Text
    images: int = Field(ge=1)


class ReliabilityBin(Section):
    """Images whose most probable label has about the same probability."""

    confidence: float = Field(ge=0, le=1)
    """Mean probability of the most probable label."""
    accuracy: float = Field(ge=0, le=1)
    """How many of the most probable labels were right."""
    images: int = Field(ge=1)
    share: float | None = Field(None, ge=0, le=1)
    """Of all images at the class frequencies that the probabilities assume. Then confidence and accuracy are at these
    frequencies too. None in earlier cards, where all three are of the images as they are."""


class Measurement(Section):
    """All figures of one evaluation, and how they came about."""

    results: list[Result] = Field(min_length=1)
    interval_method: Text
    seeds: int = Field(ge=1)
    """Over how many training seeds the values are averaged; a package holds one network, so mostly 1."""
    selection: Text
    """On which data, and how, the network was chosen."""
    confusion: list[list[int]] | None = None
    """Test images by true label (rows) and most probable label (columns); None where multi-label or not kept."""
    reliability: list[ReliabilityBin] | None = None
    """15 bins of equal width over the probability of the most probable label, without the empty ones; None as above."""
    effective_images: float | None = Field(None, gt=0)
    """``nll``, ``brier``, ``ece`` and ``reliability`` are at the class frequencies that the probabilities assume, for
    which the images were weighted. They are then worth this many images of equal weight. None where they were not
    weighted: in earlier cards, and where multi-label."""
    perturbations: list[PerturbationResult] | None = None
    """What ordinary changes of the test images cost, the largest loss first; None where it was not measured."""


class Calibration(Section):
    """How logits become probabilities: softmax(logits / temperature + log_prior_shift); a sigmoid where multi-label."""

    method: Text
    temperature: float = Field(gt=0)
    log_prior_shift: list[float]
    """Added to each class after the temperature: log of the target's prior over the prior that the logits hold;
    where multi-label, of their odds."""
    target_prior: list[float]
    """The class frequencies that the probabilities assume."""
    ece_before: float = Field(ge=0)
    ece_after: float = Field(ge=0)
    """Expected calibration error on the validation split, 15 bins, before and after the temperature."""
    ece_interval: tuple[float, float] | None = None
    """95 % bootstrap interval of ``ece_after``; None where there is none."""
    effective_images: float | None = Field(None, gt=0)
    """The two errors are at the class frequencies of ``target_prior``, for which the validation images were weighted.
    They are then worth this many images of equal weight. None in earlier cards: there the errors are at the class
    frequencies of the validation split, which the probabilities do not assume."""
    fitted_on: Text


class MeasuredCoverage(Section):
    """How often the prediction sets held the true label on data that had no part in them."""

    data: Text
    split: Text
    images: int = Field(ge=1)
    coverage: float = Field(ge=0, le=1)
    interval: tuple[float, float] | None
    """95 % bootstrap interval of the coverage."""
    by_label: dict[str, float]
    """Coverage among the images of each label."""
    mean_set_size: float = Field(ge=1)


class Conformal(Section):
    """Prediction sets by split conformal prediction: every label that reaches its threshold, and the most probable."""

    method: Literal["lac"]
    coverage: float = Field(gt=0, lt=1)
    """The part of new images whose set shall hold the true label."""
    thresholds: list[Annotated[float, Field(ge=0, le=1)]]
    """The probability from which each label is in the set."""
    calibrated_on: Text
    guarantee: Text
    """What the coverage is promised for, and what not."""
    measured: MeasuredCoverage

    def members(self, probabilities: Sequence[float]) -> list[int]:
        """Return the labels of one image's set, the most probable first."""
        order = sorted(range(len(probabilities)), key=lambda label: -probabilities[label])
        return [label for label in order if label == order[0] or probabilities[label] >= self.thresholds[label]]


class StyleReference(Section):
    """What ``style_shift`` is compared with: the styles of training images, standardised on validation images.

    ``usual`` up to ``usual_up_to``, ``unlike`` beyond ``unlike_beyond``, and ``unusual`` between them.
    """

    method: Text
    blocks: list[Text] = Field(min_length=1)
    """Names of the columns of ``style_shift_by_block``, the image itself (``input``) first."""
    training_images: int = Field(ge=2)
    validation_images: int = Field(ge=2)
    validation_quantiles: list[float] = Field(min_length=2)
    """Of ``style_shift`` over the validation images, evenly spaced from the smallest to the largest."""
    usual_up_to: float
    unlike_beyond: float
    rule: Text
    """How the two thresholds came about."""

    @model_validator(mode="after")
    def in_order(self) -> Self:
        if self.usual_up_to > self.unlike_beyond:
            raise ValueError("usual_up_to lies above unlike_beyond")
        if sorted(self.validation_quantiles) != self.validation_quantiles:
            raise ValueError("validation_quantiles do not ascend")
        return self

    def verdict(self, shift: float) -> Verdict:
        """Return what a style shift says of an image."""
        if shift <= self.usual_up_to:
            return "usual"
        return "unusual" if shift <= self.unlike_beyond else "unlike"

    def percentile(self, shift: float) -> float:
        """Return the part of the validation images, in percent, whose shift is smaller; interpolated."""
        below = sum(value < shift for value in self.validation_quantiles)
        last = len(self.validation_quantiles) - 1
        if below in (0, last + 1):
            return 0.0 if below == 0 else 100.0
        low, high = self.validation_quantiles[below - 1], self.validation_quantiles[below]
        return 100 * (below - 1 + (shift - low) / (high - low)) / last


class Card(Section):
    """The model card of a package."""

    schema_version: Literal[1, 2, 3] = 3
    """A card of version 1 has no prediction sets; one of version 1 or 2 has no style reference and no scope."""
    name: Name
    version: Version
    description: Text
    task: Task
    labels: list[Text] = Field(min_length=2)
    input: InputSpec
    architecture: Architecture
    blocks: list[Block]
    gate_reference: GateReference | None
    """None for a network without recalibration."""
    training_data: TrainingData
    initial_weights: InitialWeights | None = None
    """None where training began from random weights, or by a version that did not say."""
    measured: Measurement
    calibration: Calibration
    conformal: Conformal | None = None
    """None without prediction sets, as for multi-label tasks."""
    style: StyleReference | None = None
    """None for a package without the outputs ``style_shift`` and ``style_shift_by_block``."""
    scope: ImagingScope | None = None
    """None where the kind of image can't be checked."""
    parity: Parity
    quantisation: Quantisation | None = Field(None, exclude_if=lambda found: found is None)
    """None of a float32 package, whose card then leaves the field out."""
    intended_use: Text
    limits: list[Text] = Field(min_length=1)
    source_commit: Text
    libraries: dict[str, str]
    recipe: dict[str, Any]
    """The resolved recipe of the training run, without paths of the machine that it ran on."""
    created: Text

    @model_validator(mode="after")
    def parts_agree(self) -> Self:
        classes = len(self.labels)
        if len(set(self.labels)) != classes:
            raise ValueError("labels: two labels are the same")
        if self.architecture.num_classes != classes:
            raise ValueError(f"labels: {classes} labels for a network of {self.architecture.num_classes} classes")
        if len(self.calibration.log_prior_shift) != classes or len(self.calibration.target_prior) != classes:
            raise ValueError(
                f"calibration: log_prior_shift and target_prior need one value for each of {classes} labels"
            )
        if self.task != "multi-label" and abs(sum(self.calibration.target_prior) - 1) > 1e-3:
            raise ValueError(f"calibration: target_prior sums to {sum(self.calibration.target_prior):g}, not to 1")
        confusion = self.measured.confusion
        if confusion is not None and {len(confusion), *map(len, confusion)} != {classes}:
            raise ValueError(f"measured: confusion needs {classes} rows and columns, one for each label")
        if self.input.channels != self.architecture.in_channels:
            raise ValueError(f"input: {self.input.channels} channels for a network of {self.architecture.in_channels}")
        if self.conformal is not None:
            if self.schema_version == 1:
                raise ValueError("conformal: a card with prediction sets has schema_version 2 or 3")
            if self.task == "multi-label":
                raise ValueError("conformal: a multi-label task has no prediction sets")
            if len(self.conformal.thresholds) != classes:
                raise ValueError(f"conformal: thresholds needs one value for each of {classes} labels")
        if self.style is not None and self.schema_version < 3:
            raise ValueError("style: a card with a style reference has schema_version 3")
        if self.scope is not None and self.schema_version < 3:
            raise ValueError("scope: a card with a scope has schema_version 3")
        offset = 0
        for block in self.blocks:
            if block.offset != offset:
                raise ValueError(f"blocks: {block.name} starts at {block.offset}, expected {offset}")
            offset += block.channels
        reference = self.gate_reference
        if (reference is None) != (offset == 0):
            raise ValueError("gate_reference: needed exactly where the network has recalibration")
        if reference and not len(reference.mean) == len(reference.std) == offset:
            raise ValueError(f"gate_reference: mean and std need one value for each of {offset} gates")
        return self

    @property
    def precision(self) -> Precision:
        """What the graph's convolutions compute in."""
        return "float32" if self.quantisation is None else "int8"

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the graph's outputs, in order."""
        return OUTPUTS if self.style is None else OUTPUTS + STYLE_OUTPUTS

    @property
    def gates(self) -> int:
        """Number of gates of all blocks together."""
        return sum(block.channels for block in self.blocks)
