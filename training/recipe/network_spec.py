"""The network of a recipe, and the weights that it starts from."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from models.architecture import Depth, RecalibrationName, Start, Stem
from models.section import Text
from training.recipe.section import Section


class NetworkSpec(Section):
    """The part of :class:`models.architecture.Architecture` that does not follow from the data."""

    depth: Depth = 18
    recalibration: RecalibrationName = "srm"
    stem: Stem = "imagenet"
    width: float = Field(default=1.0, gt=0)
    correction: Literal[0, 1] = 1
    dropout: float = Field(default=0.0, ge=0, lt=1)
    initial_weights: Path | None = None
    """To start from: a checkpoint of a ResNet (``.pth``, ``.safetensors``), a run folder, or a package (``.onnx``)."""
    initial_source: Text = "not stated"
    """Of the initial weights, for the card: what they were trained on, an address. A run and a package say it."""
    initial_licence: Text = "not stated"
    start: Start = "identity"
    """Of gates that the initial weights lack: see :func:`models.initial_weights.load_initial_weights`."""
