"""The schema of an answer, for the documentation, and how it is written from the outputs of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from models.card import Card, InputSpec, Precision, Task, Verdict
from service.http.image_facts import ImageFacts, ImageScope, image_facts, image_scope

if TYPE_CHECKING:  # clients import this file without ONNX Runtime
    from models.preprocessing import Preprocessed
    from service.inference.runtime import Model, Outputs

Weights = Literal["full", "summary", "none"]


class LabelProbability(BaseModel):
    """A class and its calibrated probability."""

    label: str
    probability: float = Field(ge=0, le=1)


class ModelIdentity(BaseModel):
    """The model that answered. The digest is that of the package file."""

    name: str
    version: str
    digest: str


class ChannelWeight(BaseModel):
    """A channel of a block and its gate."""

    channel: int
    weight: float


class BlockSummary(BaseModel):
    """A summary of the gates of a block."""

    mean: float
    std: float
    min: float
    max: float
    highest: list[ChannelWeight] = Field(description="The three channels with the highest gates.")
    lowest: list[ChannelWeight] = Field(description="The three channels with the lowest gates.")


class ClassActivation(BaseModel):
    """Class activation maps: the evidence for each class at each position, before calibration."""

    labels: list[str]
    height: int
    width: int
    maps: list[list[list[float]]] = Field(
        description="Indexed by class, row, column. The mean over positions is the logit of the class."
    )


class PredictionSet(BaseModel):
    """The labels that can't be ruled out, by the conformal prediction of the model's card."""

    coverage: float = Field(
        description="The fraction of images, of the kind of the validation data, whose set contains the right label."
    )
    labels: list[str] = Field(description="The most probable label first.")


class BlockShift(BaseModel):
    """How unlike training the style at one block is."""

    block: str = Field(description="The name of a block, or `input` for the image itself.")
    score: float = Field(description="In standard deviations of the validation images, above their mean.")


class StyleShift(BaseModel):
    """Whether the image looks like those that the model knows: its style at every block against the training images."""

    verdict: Verdict = Field(
        description="`usual`, `unusual`, or `unlike` anything that the model was trained or validated on, by the "
        "rule in the card. The figures in the card hold for usual images."
    )
    score: float = Field(description="The largest of the blocks' scores.")
    percentile: float = Field(ge=0, le=100, description="Of the validation images, how many percent score lower.")
    blocks: list[BlockShift] = Field(description="The three blocks with the highest scores, the highest first.")


class Prediction(BaseModel):
    """The answer for one image."""

    record_id: UUID | None = Field(
        default=None,
        description="Id of the record of this prediction, for `/v1/predictions/{id}`. Null if no records are kept. The "
        "request's id is another.",
    )
    file: str | None = Field(default=None, description="The name of the file, if one was sent.")
    image: ImageFacts
    scope: ImageScope | None = Field(
        default=None, description="Null if the card has no scope, or if the file is not DICOM."
    )
    style_shift: StyleShift | None = Field(default=None, description="Null if the card has no style reference.")
    label: str | None = Field(
        description="The most probable class. Of a multi-label model, see `present`. Null, as is `probability`, if the "
        "service abstains from classifying images that are `unlike` (`RETINA_STYLE_SHIFT`)."
    )
    abstained: str | None = Field(default=None, description="Why there is no label.")
    probability: float | None = Field(ge=0, le=1)
    present: list[str] | None = Field(
        default=None,
        description="Of a multi-label model alone: the labels with a probability above 1/2, the most probable first. "
        "There may be none.",
    )
    probabilities: list[LabelProbability] = Field(
        description="In the order of the card's labels; empty without a label."
    )
    prediction_set: PredictionSet | None = Field(
        default=None,
        description="Null if the card has no conformal section.",
        examples=[{"coverage": 0.9, "labels": ["drusen", "normal"]}],
    )
    recalibration_weights: dict[str, list[float]] | dict[str, BlockSummary] | None = Field(
        description="For each block its gates, one per channel, 0 to 1; or their summary; or null."
    )
    class_activation: ClassActivation | None = None


class PredictionAnswer(BaseModel):
    """The answer to a prediction request: one prediction per image, in the order of the files."""

    model_config = ConfigDict(protected_namespaces=())

    id: str = Field(description="The request's id, also in the header X-Request-ID.")
    model: ModelIdentity
    notice: str
    predictions: list[Prediction]


class ModelEntry(BaseModel):
    """A summary of a served model."""

    model_config = ConfigDict(protected_namespaces=())

    name: str
    version: str = Field(description="The default version, the highest.")
    versions: list[str]
    digest: str
    description: str
    task: Task
    labels: list[str]
    input: InputSpec
    provider: str = Field(description="The execution provider that runs it.")
    nodes: dict[str, int] = Field(
        description="How many nodes of its graph each execution provider runs, as ONNX Runtime assigned them before it "
        "fused operators."
    )
    precision: Precision = Field(description="What its convolutions compute in.")
    card: str = Field(description="Address of the model card.")
    demo: str | None = Field(description="Address of a demo image, if there is one.")


class GrpcPlace(BaseModel):
    """Where the same host answers the Open Inference Protocol over gRPC."""

    port: int
    tls: bool


class ModelList(BaseModel):
    """All served models."""

    models: list[ModelEntry]
    grpc: GrpcPlace | None = Field(default=None, description="Null unless `RETINA_GRPC_PORT` names a port.")


def prediction(
    card: Card,
    image: Preprocessed,
    outputs: Outputs,
    *,
    record_id: UUID | None = None,
    file: str | None,
    weights: Weights,
    activation_map: bool,
    abstain: bool = False,
) -> dict[str, Any]:
    """Turn the outputs of one image into a :class:`Prediction`. Arrays stay NumPy arrays, for the JSON encoder.

    With ``abstain``, an image that is unlike the training images gets no label.
    """
    shift = style_shift(card, outputs)
    silent = abstain and shift is not None and shift["verdict"] == "unlike"
    return {
        "record_id": record_id,
        "file": file,
        "image": image_facts(image),
        "scope": image_scope(card.scope, image),
        "style_shift": shift,
        **(NO_FINDING if silent else finding(card, outputs.probabilities)),
        "recalibration_weights": gates_by_block(card, outputs.recalibration_weights, weights),
        "class_activation": activation(card, outputs.class_activation) if activation_map else None,
    }


ABSTAINED = "The image is unlike those that the model was trained and validated on, so it is not classified."
NO_FINDING: dict[str, Any] = {
    "label": None,
    "abstained": ABSTAINED,
    "probability": None,
    "probabilities": [],
    "prediction_set": None,
}


def finding(card: Card, probabilities: NDArray[np.float32]) -> dict[str, Any]:
    top = int(probabilities.argmax())
    return {
        "label": card.labels[top],
        "probability": probabilities[top],
        **({"present": present(card, probabilities)} if card.task == "multi-label" else {}),
        "probabilities": [
            {"label": label, "probability": value} for label, value in zip(card.labels, probabilities, strict=True)
        ],
        "prediction_set": prediction_set(card, probabilities),
    }


def style_shift(card: Card, outputs: Outputs) -> dict[str, Any] | None:
    """Write :class:`StyleShift`."""
    if card.style is None or outputs.style_shift is None or outputs.style_shift_by_block is None:
        return None
    score, by_block = float(outputs.style_shift), outputs.style_shift_by_block
    most = (-by_block).argsort(kind="stable")[:3]
    return {
        "verdict": card.style.verdict(score),
        "score": score,
        "percentile": card.style.percentile(score),
        "blocks": [{"block": card.style.blocks[index], "score": float(by_block[index])} for index in most],
    }


def present(card: Card, probabilities: NDArray[np.float32]) -> list[str]:
    """The labels with a probability above 1/2, the most probable first. Each label is decided independently."""
    ranked = (-probabilities).argsort(kind="stable")
    return [card.labels[index] for index in ranked if probabilities[index] > 0.5]


def identity(model: Model) -> dict[str, str]:
    """Write :class:`ModelIdentity`."""
    return {"name": model.name, "version": model.version, "digest": model.digest}


def prediction_set(card: Card, probabilities: NDArray[np.float32]) -> dict[str, Any] | None:
    """Write :class:`PredictionSet`."""
    if card.conformal is None:
        return None
    members = card.conformal.members(probabilities.tolist())
    return {"coverage": card.conformal.coverage, "labels": [card.labels[label] for label in members]}


def gates_by_block(card: Card, gates: NDArray[np.float32], weights: Weights) -> dict[str, Any] | None:
    if weights == "none":
        return None
    blocks = {block.name: gates[block.offset : block.offset + block.channels] for block in card.blocks}
    if weights == "full":
        return dict(blocks)
    return {name: summary(values) for name, values in blocks.items()}


def summary(gates: NDArray[np.float32]) -> dict[str, Any]:
    order = gates.argsort(kind="stable")

    def named(channels: NDArray[np.intp]) -> list[dict[str, Any]]:
        return [{"channel": int(channel), "weight": gates[channel]} for channel in channels]

    return {
        "mean": gates.mean(),
        "std": gates.std(),
        "min": gates.min(),
        "max": gates.max(),
        "highest": named(order[::-1][:3]),
        "lowest": named(order[:3]),
    }


def activation(card: Card, maps: NDArray[np.float32]) -> dict[str, Any]:
    return {"labels": card.labels, "height": maps.shape[1], "width": maps.shape[2], "maps": np.ascontiguousarray(maps)}
