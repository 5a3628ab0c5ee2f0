"""From data to answer, end to end: the API, the offline command and PyTorch agree on one image to 1e-4."""

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from tests.service.process import running

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(__file__).parent / "fixtures" / "retinamnist_subset.npz"


class Trained(NamedTuple):
    run: Path
    repository: Path


def training(*arguments: str | Path) -> str:
    command = [sys.executable, "-m", "training", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Two epochs of the shipped recipe on the shipped subset, by the commands of the README."""
    folder = tmp_path_factory.mktemp("trained")
    run, repository = folder / "run", folder / "repository"
    small = [("data", DATA), ("epochs", 2), ("network.width", 0.125), ("batch_size", 20), ("name", "subset")]
    training(
        "fit", "retinamnist", *(part for key, value in small for part in ("--set", f"{key}={value}")), "--run", run
    )
    training("evaluate", run)
    training("export", run, "--repository", repository)
    return Trained(run, repository)


@pytest.fixture(scope="module")
def address(trained: Trained) -> Iterator[str]:
    with running(trained.repository) as (_, address, _):
        yield address


@pytest.fixture(scope="module")
def photograph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A test image enlarged to an oblong JPEG, so that cropping, resizing and decoding all take part."""
    with np.load(DATA) as arrays:
        image = Image.fromarray(arrays["test_images"][7])
    path = tmp_path_factory.mktemp("image") / "eye.jpg"
    wide = Image.new("RGB", (420, 300))
    wide.paste(image.resize((300, 300), Image.Resampling.BICUBIC), (60, 0))
    wide.save(path, quality=95)
    return path


def by_pytorch(trained: Trained, photograph: Path) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The checkpoint in PyTorch, unfolded, with the run's own calibration, on Pillow's own preprocessing."""
    from training.run import Run

    run = Run.open(trained.run)
    facts, figures = run.facts(), run.metrics()["test"]
    picture = Image.open(photograph)
    picture.draft("RGB", (56, 56))
    width, height = picture.size
    left = (width - height) // 2
    square = picture.crop((left, 0, left + height, height)).resize((28, 28), Image.Resampling.BICUBIC)
    pixels = torch.from_numpy(np.array(square)).permute(2, 0, 1).float() / 255
    mean, std = (torch.tensor(values)[:, None, None] for values in facts.normalisation)
    with torch.inference_mode():
        explanation = run.network("last").explain(((pixels - mean) / std)[None])
    logits = explanation.logits / figures.temperature
    shift = torch.log(torch.tensor(figures.target_prior)) - torch.log(torch.tensor(facts.train_prior))
    probabilities = torch.softmax(logits + shift, dim=1)
    return probabilities[0].numpy(), torch.cat(list(explanation.recalibration_weights.values()), dim=1)[0].numpy()


def numbers(answer: dict[str, object]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    prediction = answer["predictions"][0]  # type: ignore[index]
    gates = [gate for block in prediction["recalibration_weights"].values() for gate in block]
    return np.array([p["probability"] for p in prediction["probabilities"]]), np.array(gates)


def test_api_offline_and_pytorch_agree(trained: Trained, address: str, photograph: Path) -> None:
    online = httpx.post(f"{address}/v1/models/subset/predict", content=photograph.read_bytes()).json()
    command = [sys.executable, "-m", "service", "predict", str(photograph), "--output", "json"]
    offline = subprocess.run(
        [*command, "--repository", str(trained.repository)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    probabilities, gates = by_pytorch(trained, photograph)
    assert gates.shape == (2 * (8 + 16 + 32 + 64),)
    for answer in (online, json.loads(offline.stdout)):
        got_probabilities, got_gates = numbers(answer)
        np.testing.assert_allclose(got_probabilities, probabilities, atol=1e-4)
        np.testing.assert_allclose(got_gates, gates, atol=1e-4)


def test_a_png_of_the_models_size_is_the_arrays_image(trained: Trained, address: str) -> None:
    """The service on a lossless file gives what the evaluation gave on the array."""
    import csv

    with np.load(DATA) as arrays:
        image = Image.fromarray(arrays["test_images"][7])
    stream = io.BytesIO()
    image.save(stream, "PNG")
    answer = httpx.post(f"{address}/v1/models/subset/predict", content=stream.getvalue()).json()
    with (trained.run / "predictions-test.csv").open() as file:
        row = list(csv.DictReader(file))[7]
    for entry in answer["predictions"][0]["probabilities"]:
        assert entry["probability"] == pytest.approx(float(row[entry["label"]]), abs=1e-4)


def test_the_card_tells_the_run(trained: Trained, address: str) -> None:
    card = httpx.get(f"{address}/v1/models/subset/card").json()
    figures = json.loads((trained.run / "metrics.json").read_text())["test"]
    assert card["training_data"]["name"] == "retinamnist_subset (not RetinaMNIST)"
    results = {r["metric"]: r["value"] for r in card["measured"]["results"]}
    for name, figure in figures["metrics"].items():
        assert results[name] == figure["value"]
    assert results["style_shift_false_alarms"] == figures["style_shift"]["false_alarm_rate"]["value"]
    assert max(card["parity"]["worst_difference"].values()) <= 1e-4
    assert card["parity"]["batch_sizes"] == [1, 2, 7, 32]
