"""The model package: one ONNX file that carries its own card. No torch here.

Input ``image``: uint8 (N, H, W, C); scaling and normalisation are in the graph. Outputs: ``probabilities`` (N, K),
``recalibration_weights`` (N, all gates, block after block) and ``class_activation`` (N, K, h, w), all float32. If the
card has a style reference, also ``style_shift`` (N) and ``style_shift_by_block`` (N, B).
Any ONNX runtime can run it. A model repository is a folder of packages in Triton's layout,
``<model>/<version>/model.onnx``.
"""

import hashlib
import re
from pathlib import Path

import onnxruntime
from pydantic import ValidationError

from models.card import NAME_PATTERN, OUTPUTS, STYLE_OUTPUTS, VERSION_PATTERN, Card
from models.wording import described

__all__ = [
    "FILE_NAME",
    "INPUT",
    "OUTPUTS",
    "STYLE_OUTPUTS",
    "PackageError",
    "digest",
    "package_path",
    "read_card",
    "write_card",
]

FILE_NAME = "model.onnx"
INPUT = "image"

AXES = {
    "probabilities": 2,
    "recalibration_weights": 2,
    "class_activation": 4,
    "style_shift": 1,
    "style_shift_by_block": 2,
}


class PackageError(ValueError):
    """A file that is not a usable model package; the text says why."""


def package_path(repository: Path, name: str, version: str) -> Path:
    """Where a package lies in a model repository.

    Raises:
        PackageError: for a name or version that can't be a folder of a repository.
    """
    if not re.fullmatch(NAME_PATTERN, name):
        raise PackageError(
            f"model name {name!r}: use up to 64 letters, digits, '.', '_' and '-', the first a letter or a digit"
        )
    if not re.fullmatch(VERSION_PATTERN, version):
        raise PackageError(f"model version {version!r}: use a positive whole number")
    return repository / name / version / FILE_NAME


def digest(content: bytes) -> str:
    """Return the package's digest, ``sha256:`` and 64 hexadecimal digits."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def read_card(session: onnxruntime.InferenceSession) -> Card:
    """Read and check the card of a loaded package.

    Raises:
        PackageError: if the file has no card, a card of another schema, or a card that contradicts the graph.
    """
    text = session.get_modelmeta().custom_metadata_map.get("card")
    if text is None:
        raise PackageError("the ONNX file has no model card: export it with `python -m training export`")
    try:
        card = Card.model_validate_json(text)
    except ValidationError as error:
        faults = "; ".join(described(error.errors(), whole="the card")[:3])
        raise PackageError(f"the model card is not valid ({faults})") from None
    check_graph(session, card)
    return card


def check_graph(session: onnxruntime.InferenceSession, card: Card) -> None:
    """Raise :class:`PackageError` where the graph's input and outputs are not the ones the card promises."""
    classes, spec = len(card.labels), card.input
    inputs = {i.name: (i.type, i.shape) for i in session.get_inputs()}
    image = ("tensor(uint8)", [spec.height, spec.width, spec.channels])
    if (
        list(inputs) != [INPUT]
        or (inputs[INPUT][0], inputs[INPUT][1][1:]) != image
        or isinstance(inputs[INPUT][1][0], int)
    ):
        raise PackageError(f"the graph's input must be one tensor image, uint8 (N, {image[1]}), not {inputs}")
    outputs = {o.name: (o.type, o.shape) for o in session.get_outputs()}
    if tuple(outputs) != card.outputs or any(kind != "tensor(float)" for kind, _ in outputs.values()):
        raise PackageError(f"the graph's outputs must be {', '.join(card.outputs)}, all float32, not {outputs}")
    for name, (_, shape) in outputs.items():
        if len(shape) != AXES[name]:
            raise PackageError(f"output {name} has the axes {shape}: it should have {AXES[name]}, images first")
    widths = {name: shape[1] for name, (_, shape) in outputs.items() if len(shape) > 1}
    expected = {"probabilities": classes, "recalibration_weights": card.gates, "class_activation": classes}
    if card.style is not None:
        expected["style_shift_by_block"] = len(card.style.blocks)
    for name, width in expected.items():
        if widths[name] != width:
            raise PackageError(f"output {name} has {widths[name]} values an image; by the card it should have {width}")


def write_card(path: Path, card: Card) -> None:
    """Put the card into an ONNX file, in place of any it has; other properties stay. Needs the ``train`` extra."""
    import onnx

    model = onnx.load(path)
    properties = {entry.key: entry.value for entry in model.metadata_props}
    onnx.helper.set_model_props(model, properties | {"card": card.model_dump_json()})
    onnx.save(model, path)
