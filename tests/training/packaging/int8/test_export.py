"""``export --precision int8``: a model of its own that the service serves, or a refusal with figures and no file."""

import io
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from scipy.special import softmax

from models.card import Card
from service.app import create_app
from service.settings import Settings
from tests.training.command_line import call
from tests.training.packaging.packages import answers, open_package
from training.errors import TrainingError
from training.packaging.export import export
from training.packaging.int8 import quantise as module
from training.packaging.int8.differences import differences
from training.packaging.unpack import read_network
from training.run import Run


@pytest.fixture(scope="module")
def repository(finished: Run, package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished run in both precisions. One of 60 images is more than 1 %, so verdicts may change here."""
    folder = tmp_path_factory.mktemp("both")
    shutil.copytree(package.parents[2] / "tiny", folder / "tiny")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.packaging.export.write_graph", lambda _, __, path: shutil.copy(package, path))
        patch.setattr("training.packaging.int8.quantise.LEFT_IN_FLOAT", (0,))
        patch.setattr("training.packaging.int8.differences.VERDICTS_CHANGED", 0.3)
        patch.setattr("training.packaging.int8.differences.ACCURACY_DROP", 0.1)
        patch.setattr("training.packaging.int8.differences.MACRO_AUC_DROP", 0.1)
        assert export(finished, folder, precision="int8") == folder / "tiny-int8" / "1" / "model.onnx"
    return folder


@pytest.fixture(scope="module")
def int8(repository: Path) -> Path:
    return repository / "tiny-int8" / "1" / "model.onnx"


def test_the_card_holds_what_was_measured(int8: Path, package: Path, tiny_npz: Path) -> None:
    card, arrays = open_package(int8)[1], np.load(tiny_npz)
    assert (card.name, card.precision, open_package(package)[1].precision) == ("tiny-int8", "int8", "float32")
    found = card.quantisation
    assert found is not None
    assert (found.validation_images, found.calibration_images, found.left_in_float) == (60, 120, [])
    ours, theirs = (answers(path, arrays["val_images"]) for path in (int8, package))
    gates = np.abs(ours["recalibration_weights"] - theirs["recalibration_weights"])
    right = [(each["probabilities"].argmax(1) == arrays["val_labels"][:, 0]).mean() for each in (ours, theirs)]
    values = {each.figure: each.value for each in found.differences}
    assert 0 < values["gate, largest difference"] == pytest.approx(gates.max(), rel=1e-3)
    assert values["accuracy, drop"] == pytest.approx(right[1] - right[0])
    assert any("in 8 bits" in limit for limit in card.limits)
    assert card.parity.worst_difference["probabilities"] <= 1e-4  # of the float32 graph


def test_a_float32_card_does_not_speak_of_quantisation(package: Path) -> None:
    assert "quantisation" not in onnx.load(package).metadata_props[0].value
    assert Card.model_validate_json(onnx.load(package).metadata_props[0].value).quantisation is None


def test_maps_still_average_to_the_logits(int8: Path, tiny_npz: Path) -> None:
    card, given = open_package(int8)[1], answers(int8, np.load(tiny_npz)["val_images"][:9])
    logits = given["class_activation"].mean(axis=(2, 3)) / card.calibration.temperature
    expected = softmax(logits + np.array(card.calibration.log_prior_shift), axis=1)
    np.testing.assert_allclose(given["probabilities"], expected, atol=1e-4)


def test_the_service_serves_both_and_lists_their_precision(repository: Path, int8: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (28, 28, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    with TestClient(create_app(Settings(model_repository=repository, provider="cpu", threads=1))) as client:
        listed = {each["name"]: each["precision"] for each in client.get("/v1/models").json()["models"]}
        assert listed == {"tiny": "float32", "tiny-int8": "int8"}
        both = [
            client.post(
                f"/v1/models/{name}/predict", content=file.getvalue(), headers={"content-type": "image/png"}
            ).json()
            for name in listed
        ]
    assert both[0].keys() == both[1].keys()
    first, second = (answer["predictions"][0] for answer in both)
    assert first.keys() == second.keys()
    served = {each["label"]: each["probability"] for each in second["probabilities"]}
    expected = answers(int8, pixels[None])["probabilities"][0]
    np.testing.assert_allclose(list(served.values()), expected, atol=1e-5)


def test_a_run_does_not_start_from_an_int8_package(int8: Path) -> None:
    with pytest.raises(TrainingError, match="INT8 package"):
        read_network(int8)


def test_refusal_says_the_figures_and_leaves_no_file(
    run_copy: Run,
    package: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("training.packaging.export.write_graph", lambda _, __, path: shutil.copy(package, path))
    monkeypatch.setattr("training.packaging.int8.quantise.LEFT_IN_FLOAT", (0,))
    monkeypatch.setattr("training.packaging.int8.differences.GATE_DIFFERENCE", 1e-6)
    repository = tmp_path / "repository"
    status = call(monkeypatch, "export", run_copy.folder, "--repository", repository, "--precision", "int8")
    message = " ".join(capsys.readouterr().err.split())
    assert status == 1
    assert "INT8 refused, no package was written. On 60 validation images: accuracy, drop" in message
    assert "gate, 99.9th percentile of the difference" in message
    assert "(limit 1e-06)" in message
    assert not [path for path in repository.rglob("*") if path.is_file()]


def test_a_round_that_keeps_the_limits_ends_the_search(
    run_copy: Run, package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first round is refused here whatever it gives; the second leaves the worst convolution in float32."""
    calls: list[object] = []

    def once_refused(*arguments: object) -> list[object]:
        calls.append(arguments)
        limit = -1.0 if len(calls) == 1 else None
        return [each.model_copy(update={"limit": limit}) for each in differences(*arguments)]  # type: ignore[arg-type]

    monkeypatch.setattr(module, "differences", once_refused)
    monkeypatch.setattr(module, "ranked", lambda *_: ["layer3.0.conv2", "conv1"])
    monkeypatch.setattr("training.packaging.export.write_graph", lambda _, __, path: shutil.copy(package, path))
    path = export(run_copy, tmp_path / "repository", precision="int8")
    found = open_package(path)[1].quantisation
    assert found is not None
    assert (len(calls), found.left_in_float, len(found.convolutions)) == (2, ["layer3.0.conv2"], 19)
    assert "network.layer3.0.conv2.weight" in {each.name for each in onnx.load(path).graph.initializer}
