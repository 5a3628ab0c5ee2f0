"""The verdict on an image's style, from the shipped packages to the answer, the metrics, the record and the files."""

import csv
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import onnxruntime
import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families
from pydicom import dcmread

from models.package import read_card
from models.preprocessing import preprocess
from service.app import create_app
from service.settings import SHIPPED_REPOSITORY, Settings
from tests.models.preprocessing.dicom_files import TOMOGRAPHY, dicom

DEMO = Path(__file__).resolve().parents[2] / "service" / "page" / "demo"
SCAN, FUNDUS = DEMO / "oct.jpeg", DEMO / "dr.jpeg"


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    settings = Settings(records="on", records_url=f"sqlite:///{tmp_path}/records.db", threads=1)
    with TestClient(create_app(settings)) as client:
        yield client


def ask(client: TestClient, model: str, file: Path) -> dict[str, object]:
    response = client.post(f"/v1/models/{model}/predict?weights=none", content=file.read_bytes())
    assert response.status_code == 200, response.text
    [prediction] = response.json()["predictions"]
    return dict(prediction)


def values(client: TestClient, name: str) -> dict[str, float]:
    """Samples of a metric of the model ``oct``, by verdict or by the sample's name."""
    return {
        sample.labels.get("verdict", sample.name): sample.value
        for family in text_string_to_metric_families(client.get("/metrics").text)
        if family.name == name
        for sample in family.samples
        if sample.labels.get("model") == "oct" and "le" not in sample.labels
    }


def test_a_fundus_photograph_sent_to_oct_is_unlike_in_answer_metrics_and_record(client: TestClient) -> None:
    scan, fundus = ask(client, "oct", SCAN), ask(client, "oct", FUNDUS)
    assert isinstance(scan["style_shift"], dict)
    assert isinstance(fundus["style_shift"], dict)
    assert scan["style_shift"]["verdict"] == "usual"
    assert fundus["style_shift"]["verdict"] == "unlike"
    assert fundus["style_shift"]["percentile"] == 100
    assert fundus["label"] is not None
    assert fundus["style_shift"]["blocks"][0]["score"] == fundus["style_shift"]["score"]
    assert values(client, "retina_style_verdicts") == {"usual": 1, "unusual": 0, "unlike": 1}
    total = scan["style_shift"]["score"] + fundus["style_shift"]["score"]
    assert values(client, "retina_style_shift")["retina_style_shift_sum"] == pytest.approx(total, rel=1e-4)
    record = client.get(f"/v1/predictions/{fundus['record_id']}").json()
    assert record["style_shift"] == pytest.approx(fundus["style_shift"]["score"], rel=1e-4)


def test_a_scan_sent_to_the_fundus_model_is_unlike(client: TestClient) -> None:
    answer = ask(client, "dr", SCAN)
    assert isinstance(answer["style_shift"], dict)
    assert answer["style_shift"]["verdict"] == "unlike"


@pytest.mark.parametrize("model", ["oct", "dr"])
def test_the_graph_alone_gives_it_in_any_runtime(client: TestClient, model: str) -> None:
    [package] = (SHIPPED_REPOSITORY / model).glob("*/model.onnx")
    session = onnxruntime.InferenceSession(package)
    card = read_card(session)
    pixels = preprocess(FUNDUS.read_bytes(), card.input).pixels[None]
    shift, by_block = session.run(["style_shift", "style_shift_by_block"], {"image": pixels})
    assert card.style is not None
    assert by_block.shape == (1, len(card.style.blocks))
    answer = ask(client, model, FUNDUS)
    assert isinstance(answer["style_shift"], dict)
    assert answer["style_shift"]["score"] == pytest.approx(float(shift[0]), rel=1e-4)
    tensor = {"name": "image", "shape": list(pixels.shape), "datatype": "UINT8", "data": pixels.reshape(-1).tolist()}
    wanted = [{"name": "style_shift"}, {"name": "style_shift_by_block"}]
    response = client.post(f"/v2/models/{model}/infer", content=json.dumps({"inputs": [tensor], "outputs": wanted}))
    outputs = {output["name"]: output for output in response.json()["outputs"]}
    assert outputs["style_shift"]["shape"] == [1]
    np.testing.assert_allclose(outputs["style_shift_by_block"]["data"], by_block[0], rtol=1e-4)


def test_abstaining_leaves_the_label_out_of_what_is_unlike_and_of_nothing_else() -> None:
    with TestClient(create_app(Settings(style_shift="abstain", threads=1))) as client:
        scan, fundus = ask(client, "oct", SCAN), ask(client, "oct", FUNDUS)
    assert scan["label"] == "choroidal neovascularization"
    assert scan.get("abstained") is None
    assert (fundus["label"], fundus["probability"], fundus["probabilities"]) == (None, None, [])
    assert fundus["prediction_set"] is None
    assert "unlike" in str(fundus["abstained"])


@pytest.mark.parametrize("mode", ["report", "abstain"])
def test_a_structured_report_states_the_verdict_or_is_refused(mode: Literal["report", "abstain"]) -> None:
    """Noise in the file of a scan: unlike any."""
    file = dicom(np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8), SOPClassUID=TOMOGRAPHY)
    with TestClient(create_app(Settings(style_shift=mode, threads=1))) as client:
        response = client.post("/v1/models/oct/predict?format=dicom-sr", content=file)
    if mode == "abstain":
        assert response.status_code == 422
        assert "unlike" in response.json()["detail"]
        return
    report = dcmread(io.BytesIO(response.content))
    stated = [
        item.ConceptCodeSequence[0].CodeValue
        for item in report.ContentSequence
        if item.ConceptNameCodeSequence[0].CodeValue == "style-shift"
    ]
    assert stated == ["unlike"]


@pytest.mark.parametrize("mode", ["report", "abstain"])
def test_the_offline_command_says_it_in_its_table(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETINA_STYLE_SHIFT", mode)
    command = [sys.executable, "-m", "service", "predict", str(SCAN), str(FUNDUS), "--model", "oct"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    scan, fundus = csv.DictReader(io.StringIO(done.stdout))
    assert (scan["style_verdict"], fundus["style_verdict"]) == ("usual", "unlike")
    assert float(fundus["style_shift"]) > float(scan["style_shift"])
    assert scan["label"] == "choroidal neovascularization"
    assert bool(fundus["label"]) == (mode == "report")
