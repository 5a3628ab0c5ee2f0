"""Packages built by hand, node by node, against the contract of ``models.package``."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from models.card import Card
from models.package import PackageError, digest, package_path, read_card, write_card

HEIGHT, WIDTH, CHANNELS = 6, 4, 3
CLASSES, GATES = 3, 5  # as in card_fields
SHAPES: dict[str, tuple[int, ...]] = {
    "probabilities": (CLASSES,),
    "recalibration_weights": (GATES,),
    "class_activation": (CLASSES, 2, 2),
}
Dimensions = tuple[int | str, ...]


def graph(
    path: Path,
    *,
    image: str = "image",
    kind: int = TensorProto.UINT8,
    shape: Dimensions = ("N", HEIGHT, WIDTH, CHANNELS),
    outputs: dict[str, tuple[int, ...]] = SHAPES,
    output_kind: int = TensorProto.FLOAT,
    second_input: bool = False,
    metadata: dict[str, str] | None = None,
) -> Path:
    """A graph in which every output is the sum of the image times a constant, of this shape for each image."""
    axes = np.arange(1, len(shape), dtype=np.int64)
    nodes = [
        helper.make_node("Cast", [image], ["numbers"], to=output_kind),
        helper.make_node("ReduceSum", ["numbers", "axes"], ["sums"], keepdims=0),
    ]
    constants = [numpy_helper.from_array(axes, "axes")]
    values = []
    for name, widths in outputs.items():
        ones = np.ones((1, *widths), helper.tensor_dtype_to_np_dtype(output_kind))
        target = np.array([-1, *[1] * len(widths)], dtype=np.int64)
        constants += [numpy_helper.from_array(ones, f"{name}_ones"), numpy_helper.from_array(target, f"{name}_shape")]
        nodes += [
            helper.make_node("Reshape", ["sums", f"{name}_shape"], [f"{name}_sums"]),
            helper.make_node("Mul", [f"{name}_sums", f"{name}_ones"], [name]),
        ]
        values.append(helper.make_tensor_value_info(name, output_kind, (shape[0], *widths)))
    inputs = [helper.make_tensor_value_info(image, kind, shape)]
    if second_input:
        inputs.append(helper.make_tensor_value_info("age", TensorProto.FLOAT, ("N",)))
    model = helper.make_model(
        helper.make_graph(nodes, "by-hand", inputs, values, constants),
        opset_imports=[helper.make_opsetid("", 20)],
        ir_version=10,
    )
    helper.set_model_props(model, metadata or {})
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
    return path


def session(path: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


@pytest.fixture
def card(card_fields: dict[str, Any]) -> Card:
    return Card.model_validate(card_fields)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.onnx"


def with_card(path: Path, card: Card, **options: Any) -> onnxruntime.InferenceSession:
    return session(graph(path, metadata={"card": card.model_dump_json()}, **options))


def test_reads_the_card(path: Path, card: Card) -> None:
    assert read_card(with_card(path, card)) == card


def test_the_name_of_the_batch_axis_does_not_matter(path: Path, card: Card) -> None:
    assert read_card(with_card(path, card, shape=("batch", HEIGHT, WIDTH, CHANNELS))) == card


def test_reads_a_card_without_gates(path: Path, card_fields: dict[str, Any]) -> None:
    card = Card.model_validate({**card_fields, "blocks": [], "gate_reference": None})
    assert read_card(with_card(path, card, outputs={**SHAPES, "recalibration_weights": (0,)})) == card


def test_no_card(path: Path) -> None:
    with pytest.raises(PackageError, match="no model card: export it with"):
        read_card(session(graph(path)))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "the card is not JSON"),
        ("not json", "the card is not JSON"),
        ("[]", "the card must be an object"),
        ("{}", "name is missing"),
    ],
)
def test_text_that_is_no_card(path: Path, text: str, fault: str) -> None:
    with pytest.raises(PackageError, match=rf"the model card is not valid \({fault}"):
        read_card(session(graph(path, metadata={"card": text})))


@pytest.mark.parametrize(
    ("field", "value", "fault"),
    [
        ("schema_version", 4, "schema_version must be 1, 2 or 3"),
        ("surprise", 1, "surprise is not known"),
        ("input", {"height": 0, "width": 4, "channels": 3}, r"input\.height must be at least 1"),
        ("labels", ["a", "b", "a"], "the card: labels: two labels are the same"),
    ],
)
def test_a_faulty_card_names_the_place(
    path: Path, card_fields: dict[str, Any], field: str, value: object, fault: str
) -> None:
    text = json.dumps({**card_fields, field: value})
    with pytest.raises(PackageError, match=fault) as caught:
        read_card(session(graph(path, metadata={"card": text})))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"kind": TensorProto.FLOAT},
        {"kind": TensorProto.INT8},
        {"shape": ("N", WIDTH, HEIGHT, CHANNELS)},
        {"shape": ("N", CHANNELS, HEIGHT, WIDTH)},
        {"shape": ("N", HEIGHT, WIDTH, 1)},
        {"shape": ("N", "H", "W", CHANNELS)},
        {"shape": ("N", HEIGHT, WIDTH)},
        {"shape": ("N",)},
        {"image": "input"},
        {"second_input": True},
    ],
    ids=lambda options: str(options),
)
def test_an_input_that_the_card_does_not_promise(path: Path, card: Card, options: dict[str, Any]) -> None:
    with pytest.raises(PackageError, match=r"input must be one tensor image, uint8 \(N, \[6, 4, 3\]\), not"):
        read_card(with_card(path, card, **options))


def test_a_fixed_batch_size_is_refused(path: Path, card: Card) -> None:
    """The service runs batches of any size."""
    with pytest.raises(PackageError, match="input must be"):
        read_card(with_card(path, card, shape=(1, HEIGHT, WIDTH, CHANNELS)))


@pytest.mark.parametrize(
    "options",
    [
        {"outputs": {"features": (7,)}},
        {"outputs": {name: SHAPES[name] for name in ("probabilities", "recalibration_weights")}},
        {"outputs": {name: SHAPES[name] for name in ("recalibration_weights", "probabilities", "class_activation")}},
        {"outputs": {**SHAPES, "features": (7,)}},
        {"outputs": {"logits": (CLASSES,), "recalibration_weights": (GATES,), "class_activation": (CLASSES, 2, 2)}},
        {"output_kind": TensorProto.DOUBLE},
        {"output_kind": TensorProto.FLOAT16},
    ],
    ids=["one", "two", "another order", "four", "another name", "float64", "float16"],
)
def test_outputs_that_the_contract_does_not_have(path: Path, card: Card, options: dict[str, Any]) -> None:
    with pytest.raises(PackageError, match=r"outputs must be .*, all float32, not"):
        read_card(with_card(path, card, **options))


@pytest.mark.parametrize(
    ("name", "widths", "has", "wants"),
    [
        ("probabilities", (CLASSES + 1,), 4, 3),
        ("recalibration_weights", (GATES - 1,), 4, 5),
        ("recalibration_weights", (0,), 0, 5),
        ("class_activation", (CLASSES - 1, 2, 2), 2, 3),
    ],
)
def test_widths_that_the_card_does_not_promise(
    path: Path, card: Card, name: str, widths: tuple[int, ...], has: int, wants: int
) -> None:
    with pytest.raises(PackageError, match=f"output {name} has {has} values an image; .* should have {wants}"):
        read_card(with_card(path, card, outputs={**SHAPES, name: widths}))


@pytest.mark.parametrize(
    ("name", "widths"),
    [
        ("probabilities", ()),
        ("probabilities", (CLASSES, 1)),
        ("recalibration_weights", ()),
        ("class_activation", (CLASSES,)),
        ("class_activation", (CLASSES, 4)),
    ],
)
def test_outputs_with_other_axes(path: Path, card: Card, name: str, widths: tuple[int, ...]) -> None:
    with pytest.raises(PackageError, match=name):
        read_card(with_card(path, card, outputs={**SHAPES, name: widths}))


def test_writing_adds_a_card_and_leaves_the_graph(path: Path, card: Card) -> None:
    images = np.random.default_rng(0).integers(0, 256, (7, HEIGHT, WIDTH, CHANNELS), dtype=np.uint8)
    graph(path)
    write_card(path, card)
    assert read_card(session(path)) == card
    probabilities, gates, maps = session(path).run(None, {"image": images})
    sums = images.sum(axis=(1, 2, 3), dtype=np.float64)
    assert np.array_equal(probabilities, np.tile(sums[:, None], (1, CLASSES)))
    assert gates.shape == (7, GATES)
    assert maps.shape == (7, CLASSES, 2, 2)


def test_writing_replaces_the_card(path: Path, card: Card) -> None:
    graph(path)
    write_card(path, card)
    other = card.model_copy(update={"version": "13", "description": "another"})
    write_card(path, other)
    assert read_card(session(path)) == other
    assert [entry.key for entry in onnx.load(path).metadata_props] == ["card"]


def test_writing_keeps_other_metadata(path: Path, card: Card) -> None:
    graph(path)
    model = onnx.load(path)
    onnx.helper.set_model_props(model, {"author": "somebody", "card": "an old one"})
    onnx.save(model, path)
    write_card(path, card)
    assert {entry.key: entry.value for entry in onnx.load(path).metadata_props}["author"] == "somebody"
    assert read_card(session(path)) == card


def test_a_card_with_letters_of_all_kinds(path: Path, card_fields: dict[str, Any]) -> None:
    card = Card.model_validate({**card_fields, "description": 'Ödem, 黄斑, \N{EYE}, "quoted", back\\slash, tab\t'})
    graph(path)
    write_card(path, card)
    assert read_card(session(path)).description == card.description


def test_digest(path: Path, card: Card) -> None:
    content = graph(path).read_bytes()
    assert digest(content) == f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert digest(b"") == "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    write_card(path, card)
    assert digest(path.read_bytes()) != digest(content)


def test_package_path_is_that_of_triton(tmp_path: Path) -> None:
    assert package_path(tmp_path, "oct", "3") == tmp_path / "oct" / "3" / "model.onnx"


@pytest.mark.parametrize("name", ["", "..", "../oct", "oct/2", "/oct", ".oct", "o c t", "oct\n", "x" * 65])
def test_a_name_that_is_no_folder_has_no_path(tmp_path: Path, name: str) -> None:
    with pytest.raises(PackageError, match=r"model name .* up to 64 letters"):
        package_path(tmp_path, name, "1")


@pytest.mark.parametrize("version", ["", "0", "01", "v1", "..", "1/../2", "1\n", "1" * 10])
def test_a_version_that_is_no_number_has_no_path(tmp_path: Path, version: str) -> None:
    with pytest.raises(PackageError, match=r"model version .* positive whole number"):
        package_path(tmp_path, "oct", version)


def test_package_errors_are_value_errors() -> None:
    assert issubclass(PackageError, ValueError)
