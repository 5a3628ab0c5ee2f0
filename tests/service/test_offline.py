"""``python -m service predict``: the API's answer without a server."""

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient

from tests.conftest import LABELS, ImageMaker


def predict(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "service", "predict", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def files(tmp_path: Path, make_image: ImageMaker) -> list[Path]:
    paths = [tmp_path / f"{index}.png" for index in range(2)]
    for index, path in enumerate(paths):
        path.write_bytes(make_image("PNG", seed=index))
    return paths


def test_json_is_the_api_s_answer(client: TestClient, repository: Path, files: list[Path]) -> None:
    done = predict(*files, "--model", "colour", "--repository", repository, "--output", "json", "--activation-map")
    assert done.returncode == 0, done.stderr
    offline = json.loads(done.stdout)
    uploads = [("file", (str(path), path.read_bytes())) for path in files]
    online = client.post("/v1/models/colour/predict?activation_map=true", files=uploads).json()
    assert offline["model"] == online["model"]
    assert offline["notice"] == online["notice"]
    for ours, theirs in zip(offline["predictions"], online["predictions"], strict=True):
        assert (ours["file"], ours["label"]) == (theirs["file"], theirs["label"])
        for block, gates in theirs["recalibration_weights"].items():
            np.testing.assert_allclose(ours["recalibration_weights"][block], gates, atol=1e-5)
        np.testing.assert_allclose(ours["class_activation"]["maps"], theirs["class_activation"]["maps"], atol=1e-4)
        for a, b in zip(ours["probabilities"], theirs["probabilities"], strict=True):
            assert a["probability"] == pytest.approx(b["probability"], abs=1e-5)


def test_csv_keeps_going_past_a_bad_file(repository: Path, files: list[Path], tmp_path: Path) -> None:
    bad, missing = tmp_path / "bad.jpg", tmp_path / "missing.jpg"
    bad.write_bytes(b"no image")
    done = predict(files[0], bad, missing, files[1], "--model", "grey", "--repository", repository)
    assert done.returncode == 1
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [row["file"] for row in rows] == [str(path) for path in files]
    for row in rows:
        assert sum(float(row[label]) for label in LABELS) == pytest.approx(1, abs=1e-5)
        assert float(row[row["label"]]) == float(row["probability"]) == max(float(row[label]) for label in LABELS)
    assert "bad.jpg" in done.stderr
    assert "missing.jpg" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--model", "nope"), "there are: colour, grey"),
        ((), "--model colour or --model grey"),
        (("--model", "colour", "--version", "5"), "no version '5'"),
    ],
)
def test_mistakes_are_one_sentence(
    repository: Path, files: list[Path], arguments: tuple[str, ...], message: str
) -> None:
    done = predict(files[0], *arguments, "--repository", repository)
    assert done.returncode == 1
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="names are text on other systems")
@pytest.mark.parametrize("output", ["json", "csv"])
def test_a_name_that_is_not_utf_8_loses_no_answer(
    repository: Path, tmp_path: Path, make_image: ImageMaker, output: str
) -> None:
    names = [b"a.png", b"caf\xe9.png", "\N{GREEK SMALL LETTER PI}.png".encode(), b"\xff missing.png"]
    paths = [Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)) for name in names]
    for path in paths[:3]:
        path.write_bytes(make_image("PNG"))
    done = predict(*paths, "--model", "colour", "--repository", repository, "--output", output)
    assert done.returncode == 1  # one is missing
    if output == "json":
        found = [row["file"] for row in json.loads(done.stdout)["predictions"]]
    else:
        found = [row["file"] for row in csv.DictReader(io.StringIO(done.stdout))]
    assert found == [f"{tmp_path}/{name}" for name in ("a.png", r"caf\xe9.png", "\N{GREEK SMALL LETTER PI}.png")]
    assert rf"{tmp_path}/\xff missing.png: The file can't be read (No such file or directory)" in done.stderr
    assert "Traceback" not in done.stderr
