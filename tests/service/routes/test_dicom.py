"""DICOM files over HTTP and offline: which frame is answered, what comes back, and that the patient stays out of it."""

import json
import subprocess
import sys
from pathlib import Path

import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient

from service.http.answers import PredictionAnswer
from tests.models.preprocessing.dicom_files import TOMOGRAPHY, dicom, written
from tests.models.preprocessing.identified import MARKER, marked
from tests.models.preprocessing.image_files import encode, noise
from tests.service.problems import problem
from tests.service.process import running

PREDICT = "/v1/models/grey/predict"
VOLUME = noise(5, 40, 50)


def answered(client: TestClient, data: bytes, **query: int) -> PredictionAnswer:
    response = client.post(PREDICT, content=data, params=query, headers={"Content-Type": "application/dicom"})
    assert response.status_code == 200, response.text
    return PredictionAnswer.model_validate_json(response.content)


def probabilities(answer: PredictionAnswer) -> list[float]:
    return [entry.probability for entry in answer.predictions[0].probabilities]


@pytest.mark.parametrize(("query", "index"), [({}, 2), ({"frame": 1}, 0), ({"frame": 5}, 4)])
def test_a_frame_is_answered_as_the_same_picture_in_a_png(
    client: TestClient, query: dict[str, int], index: int
) -> None:
    data = dicom(VOLUME, frames=5, SOPClassUID=TOMOGRAPHY, ImageLaterality="L", Modality="OPT")
    answer = answered(client, data, **query)
    alone = answered(client, encode(VOLUME[index], "PNG"))
    np.testing.assert_allclose(probabilities(answer), probabilities(alone), atol=1e-6)
    size = {"width": 50, "height": 40, "crop": {"left": 5, "top": 0, "width": 40, "height": 40}}
    facts, png = answer.predictions[0].image, alone.predictions[0].image
    assert facts.model_dump() == {
        **size,
        "format": "DICOM",
        "frame": index + 1,
        "frames": 5,
        "laterality": "L",
        "modality": "OPT",
    }
    assert png.model_dump() == {
        **size,
        "format": "PNG",
        "frame": 1,
        "frames": None,
        "laterality": None,
        "modality": None,
    }


def test_frames_that_are_not_there(client: TestClient) -> None:
    data = dicom(VOLUME, frames=5)
    assert "has 5" in problem(client.post(f"{PREDICT}?frame=6", content=data), 422, "frame").detail
    assert (
        "counts as one picture"
        in problem(client.post(f"{PREDICT}?frame=2", content=encode(VOLUME[0], "PNG")), 422, "frame").detail
    )
    for frame in ("0", "-1", "1.5", "first", "99999999999"):
        problem(client.post(f"{PREDICT}?frame={frame}", content=data), 422, "invalid-parameter")


def test_offline_says_the_same(client: TestClient, repository: Path, tmp_path: Path) -> None:
    file = tmp_path / "scan.dcm"
    file.write_bytes(dicom(VOLUME, frames=5, ImageLaterality="R"))
    command = [sys.executable, "-m", "service", "predict", str(file), "--model", "grey", "--frame", "4"]
    done = subprocess.run(
        [*command, "--output", "json", "--repository", str(repository)], capture_output=True, text=True, check=True
    )
    [offline] = json.loads(done.stdout)["predictions"]
    online = answered(client, file.read_bytes(), frame=4)
    assert offline["image"] == online.predictions[0].image.model_dump()
    np.testing.assert_allclose([p["probability"] for p in offline["probabilities"]], probabilities(online), atol=1e-5)


@pytest.mark.parametrize("damage", ["whole", "cut"])
def test_nothing_of_the_patient_in_answers_logs_or_metrics(repository: Path, damage: str) -> None:
    data = written(marked(noise(40, 50)))
    if damage == "cut":
        data = data[:-100]
    with running(repository, RETINA_LOG_LEVEL="debug") as (process, address, log):
        single = httpx.post(f"{address}/v1/models/grey/predict", content=data)
        form = httpx.post(f"{address}/v1/models/grey/predict", files={"file": (f"{MARKER}.dcm", data)})
        metrics = httpx.get(f"{address}/metrics")
        process.terminate()
        assert process.wait(20) == 0
        written_there = str(log)
    assert single.status_code == form.status_code == (200 if damage == "whole" else 422)
    everything = written_there + single.text + str(single.headers) + metrics.text
    assert MARKER not in everything
    assert "Finished server process" in written_there, "the log was read to its end"
    assert form.text.count(MARKER) == 1, "the file's name goes back to whoever sent it, and nowhere else"
    assert form.text.count(f'"file":"{MARKER}.dcm"') == 1
