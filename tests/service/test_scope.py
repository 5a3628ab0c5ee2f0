"""A DICOM file of another kind of image than the model is for: flagged, refused, and never reported on."""

import csv
import io
import json
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from fastapi.testclient import TestClient
from highdicom.sc import SCImage
from httpx import Response
from PIL import Image
from pydicom import dcmread
from pydicom.uid import SecondaryCaptureImageStorage, generate_uid

from models.package import read_card
from service.app import create_app
from service.client import Client
from service.http.answers import Prediction, PredictionAnswer
from service.settings import SHIPPED_REPOSITORY, Settings
from tests.models.preprocessing.dicom_files import PHOTOGRAPH, TOMOGRAPHY, dicom
from tests.service.problems import problem
from tests.service.process import running

SCAN = Path(__file__).resolve().parents[2] / "service" / "page" / "demo" / "oct.jpeg"
GREY = np.asarray(Image.open(SCAN).convert("L"))
OPT = dicom(GREY, SOPClassUID=TOMOGRAPHY, Modality="OPT")
OP = dicom(np.stack([GREY] * 3, axis=2), SOPClassUID=PHOTOGRAPH, Modality="OP")


def capture(modality: str | None) -> bytes:
    """A secondary capture as highdicom writes it, with another modality or none."""
    image = SCImage(
        GREY,
        photometric_interpretation="MONOCHROME2",
        bits_allocated=8,
        coordinate_system="PATIENT",
        study_instance_uid=generate_uid(),
        series_instance_uid=generate_uid(),
        series_number=1,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="x",
        patient_orientation=("L", "P"),
    )
    if modality is None:
        del image.Modality
    else:
        image.Modality = modality
    stream = io.BytesIO()
    image.save_as(stream)
    return stream.getvalue()


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with TestClient(create_app(Settings(threads=1))) as client:
        yield client


@pytest.fixture(scope="module")
def strict() -> Iterator[TestClient]:
    with TestClient(create_app(Settings(threads=1, out_of_scope="refuse"))) as client:
        yield client


def asked(client: TestClient, file: bytes, model: str = "oct", query: str = "weights=none") -> Response:
    return client.post(f"/v1/models/{model}/predict?{query}", content=file)


def answered(client: TestClient, file: bytes, model: str = "oct") -> Prediction:
    response = asked(client, file, model)
    assert response.status_code == 200, response.text
    [prediction] = PredictionAnswer.model_validate_json(response.content).predictions
    return prediction


def verdict(prediction: Prediction) -> str | None:
    return None if prediction.scope is None else prediction.scope.verdict


@pytest.mark.parametrize(("model", "modality"), [("oct", "OCT B-scan"), ("dr", "colour fundus photograph")])
def test_the_shipped_packages_say_what_they_are_for(client: TestClient, model: str, modality: str) -> None:
    [package] = (SHIPPED_REPOSITORY / model).glob("*/model.onnx")
    card = read_card(onnxruntime.InferenceSession(package))
    assert card.scope is not None
    assert card.scope.modality == modality
    assert client.get(f"/v1/models/{model}/card").json()["scope"]["modality"] == modality


@pytest.mark.parametrize(
    ("model", "file", "modality", "expected"),
    [
        ("oct", OPT, "OPT", "in scope"),
        ("oct", OP, "OP", "out of scope"),
        ("dr", OP, "OP", "in scope"),
        ("dr", OPT, "OPT", "out of scope"),
        ("oct", capture("OPT"), "OPT", "in scope"),
        ("oct", capture("OP"), "OP", "out of scope"),
        ("oct", capture("OT"), "OT", "unknown"),
        ("oct", capture(None), None, "unknown"),
        ("oct", SCAN.read_bytes(), None, None),
    ],
)
def test_each_answer_says_whether_the_file_is_what_the_model_is_for(
    client: TestClient, strict: TestClient, model: str, file: bytes, modality: str | None, expected: str | None
) -> None:
    found = answered(client, file, model)
    assert found.label is not None
    assert (found.image.modality, verdict(found)) == (modality, expected)
    if expected == "out of scope":
        problem(asked(strict, file, model), 422, "out-of-scope")
    else:
        assert verdict(answered(strict, file, model)) == expected


def test_the_reason_names_both_kinds(client: TestClient) -> None:
    found = answered(client, OP)
    assert found.scope is not None
    for words in ("OCT B-scan", "Modality OPT", "Modality OP ", "Ophthalmic Photography 8 Bit Image Storage"):
        assert words in found.scope.reason


def test_a_refusal_names_the_file_at_fault_and_what_the_model_is_for(strict: TestClient) -> None:
    files = [("file", ("scan.dcm", OPT)), ("file", ("fundus.dcm", OP))]
    refused = problem(strict.post("/v1/models/oct/predict", files=files), 422, "out-of-scope")
    assert refused.file == "fundus.dcm"
    assert "OCT B-scan" in refused.detail
    assert "Ophthalmic Photography 8 Bit Image Storage" in refused.detail


def test_there_is_never_a_report_of_what_is_out_of_scope(client: TestClient, strict: TestClient) -> None:
    told = problem(asked(client, OP, query="format=dicom-sr"), 422, "no-report").detail
    assert "Modality OP " in told
    problem(asked(strict, OP, query="format=dicom-sr"), 422, "out-of-scope")
    for file in (OPT, capture("OT")):
        response = asked(client, file, query="format=dicom-sr")
        assert response.status_code == 200, response.text
        assert dcmread(io.BytesIO(response.content)).Modality == "SR"


def test_the_open_inference_protocol_refuses_the_same_files(client: TestClient, strict: TestClient) -> None:
    def infer(to: TestClient, *files: bytes) -> Response:
        data = [b64encode(file).decode() for file in files]
        inputs = {"name": "image_bytes", "shape": [len(files)], "datatype": "BYTES", "data": data}
        return to.post("/v2/models/oct/infer", json={"inputs": [inputs]})

    assert infer(client, OPT, OP).status_code == 200
    assert infer(strict, OPT, SCAN.read_bytes()).status_code == 200
    refused = infer(strict, OPT, OP)
    assert refused.status_code == 400
    assert "element 1: The model is for one kind of image, OCT B-scan" in refused.json()["error"]


@pytest.mark.parametrize("mode", ["report", "refuse"])
def test_the_offline_command_says_it_in_its_table(mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETINA_OUT_OF_SCOPE", mode)
    files = [tmp_path / "scan.dcm", tmp_path / "fundus.dcm", SCAN]
    files[0].write_bytes(OPT)
    files[1].write_bytes(OP)
    command = [sys.executable, "-m", "service", "predict", *map(str, files), "--model", "oct"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    rows = {Path(row["file"]).name: row for row in csv.DictReader(io.StringIO(done.stdout))}
    assert (rows["scan.dcm"]["scope"], rows["oct.jpeg"]["scope"]) == ("in scope", "")
    assert rows["scan.dcm"]["label"] == "choroidal neovascularization"
    assert (done.returncode, "fundus.dcm" in rows) == ((0, True) if mode == "report" else (1, False))
    if mode == "report":
        assert rows["fundus.dcm"]["scope"] == "out of scope"
        assert rows["fundus.dcm"]["label"]
    else:
        assert "fundus.dcm: The model is for one kind of image, OCT B-scan" in " ".join(done.stderr.split())


def test_the_typed_client_reads_it() -> None:
    with running(SHIPPED_REPOSITORY, RETINA_THREADS="1") as (_, address, _), Client(address) as client:
        [photograph, picture] = client.predict("oct", [OP, SCAN], weights="none").predictions
        scope = client.card("oct").scope
    assert (verdict(photograph), photograph.image.modality) == ("out of scope", "OP")
    assert (verdict(picture), picture.image.modality) == (None, None)
    assert scope is not None
    assert scope.dicom_modalities == ["OPT"]


def test_a_package_without_a_scope_judges_nothing(repository: Path) -> None:
    settings = Settings(model_repository=repository, threads=1, out_of_scope="refuse")
    with TestClient(create_app(settings)) as client:
        found = answered(client, OP, "grey")
        assert (found.image.modality, found.scope) == ("OP", None)
        assert asked(client, OP, "grey", "format=dicom-sr").status_code == 200


@pytest.mark.parametrize("value", ["OPT\\OP", "Mueller^Anna", "opt", "A" * 17])
def test_what_is_no_code_is_not_repeated(client: TestClient, value: str) -> None:
    """A value that breaks the standard could be anything, so it counts as none."""
    response = asked(client, dicom(GREY, SOPClassUID=SecondaryCaptureImageStorage, Modality=value))
    [found] = response.json()["predictions"]
    assert (found["image"]["modality"], found["scope"]["verdict"]) == (None, "unknown")
    assert value not in json.dumps(found)
