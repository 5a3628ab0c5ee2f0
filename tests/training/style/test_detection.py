"""The detection figures of an exported package, with the scores recomputed by hand."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image

from models.card import InputSpec
from models.package import read_card
from tests.training.tiny_data import medmnist_arrays
from training.datasets import Item
from training.errors import TrainingError
from training.run import Run
from training.style.commands import shift
from training.style.detection import Measure, auroc, pixels_of


def test_scores_are_those_of_the_network(finished: Run, package: Path) -> None:
    images = medmnist_arrays()["test_images"][:6]
    measure = Measure(package, list(medmnist_arrays()["train_images"]))
    scores = measure(list(images))
    network, facts = finished.network(finished.recipe().checkpoint), finished.facts()
    kept: list[torch.Tensor] = []
    network.fc.register_forward_pre_hook(lambda _, inputs: kept.append(inputs[0]))
    with torch.inference_mode():
        pixels = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 255
        logits = network(facts.normalisation(pixels)).double()
    np.testing.assert_allclose(scores["energy"], -torch.logsumexp(logits, dim=1), atol=1e-4)
    np.testing.assert_allclose(scores["softmax"], -torch.softmax(logits, dim=1).amax(dim=1), atol=1e-5)
    mean, inverse = measure.density.location_, np.linalg.inv(measure.density.covariance_)
    centred = kept[0].double().numpy() - mean
    np.testing.assert_allclose(scores["Mahalanobis"], ((centred @ inverse) * centred).sum(axis=1), rtol=1e-2)
    session = onnxruntime.InferenceSession(package)
    np.testing.assert_allclose(scores["style shift"], session.run(["style_shift"], {"image": images})[0], rtol=1e-4)


def test_pixels_are_views_of_where_they_are_kept() -> None:
    whole = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
    spec = InputSpec(height=8, width=8, channels=3)
    pixels = pixels_of([Item(whole[row], 0, "a", "a") for row in (4, 0, 3)], spec)
    np.testing.assert_array_equal(np.stack(pixels), whole[[4, 0, 3]])
    assert all(np.shares_memory(image, whole) for image in pixels)


def test_auroc_counts_pairs() -> None:
    assert auroc(np.array([1.0, 2.0, 3.0]), np.array([2.5, 4.0])) == pytest.approx(5 / 6)


@pytest.fixture(scope="module")
def figures(package: Path, tiny_npz: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the command writes of the package and of a folder of flat images."""
    folder = tmp_path_factory.mktemp("shift")
    other = folder / "other"
    other.mkdir()
    for index in range(3):
        Image.fromarray(np.full((40, 40, 3), 90 * index, np.uint8)).save(other / f"{index}.png")
    (other / "._0.png").write_bytes(b"\0\5\x16\7")  # what macOS leaves beside a file; reading it would fail
    output = folder / "shift.json"
    shift(package, [f"flat={other}"], "retinamnist", [f"data={tiny_npz}"], "fundus", None, output)
    return json.loads(output.read_text())


def test_the_command_writes_every_set(figures: dict[str, Any], package: Path) -> None:
    assert {"false alarms", "flat", "blank", "noise", "inverted", "JPEG compression, 5"} <= figures.keys()
    assert figures["noise"]["style shift"]["AUROC"] > 0.9
    scores = {"style shift", "without the image's own", "softmax", "energy", "Mahalanobis", "neighbours"}
    assert set(figures["flat"]) == scores
    card = read_card(onnxruntime.InferenceSession(package))
    assert card.style is not None
    assert 0 <= figures["false alarms"]["style shift"] <= 1


def test_a_run_is_measured_by_the_package_that_it_would_become(
    finished: Run, figures: dict[str, Any], tmp_path: Path
) -> None:
    shift(finished.folder, None, None, None, "fundus", None, tmp_path / "run.json")
    of_run = json.loads((tmp_path / "run.json").read_text())
    assert of_run.keys() == figures.keys() - {"flat"}
    for name, scores in of_run.items():
        assert scores["style shift"] == figures[name]["style shift"], name


@pytest.mark.parametrize("entry", ["photographs", "a=nowhere"])
def test_another_folder_needs_a_name_and_must_exist(entry: str, package: Path, tiny_npz: Path) -> None:
    with pytest.raises(TrainingError, match="expected NAME=FOLDER, with a folder that exists"):
        shift(package, [entry], "retinamnist", [f"data={tiny_npz}"])


def test_a_package_needs_a_recipe(package: Path) -> None:
    with pytest.raises(TrainingError, match="--recipe"):
        shift(package)
