"""The prediction as a DICOM structured report, read back by pydicom and, where installed, by two validators."""

import importlib.abc
import io
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from shutil import which
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from fastapi.testclient import TestClient
from httpx import Response
from pydicom import dcmread, uid
from pydicom.dataset import Dataset

from models.preprocessing import preprocess
from service.inference.runtime import Model, Outputs
from service.report.document import write_report
from tests.conftest import LABELS, tiny_card
from tests.models.preprocessing.dicom_files import TOMOGRAPHY, dataset, dicom, written
from tests.models.preprocessing.identified import MARKER, marked
from tests.models.preprocessing.image_files import encode, noise
from tests.service.problems import problem

PREDICT = "/v1/models/grey/predict"
PATIENT: dict[str, Any] = {
    "PatientName": "Müller^Änne",
    "PatientID": "0815",
    "PatientBirthDate": "19500102",
    "PatientSex": "F",
    "StudyDate": "20260102",
    "StudyTime": "101112",
    "StudyID": "7",
    "AccessionNumber": "A1",
    "SpecificCharacterSet": "ISO_IR 192",
}


def source(**elements: Any) -> bytes:
    volume = noise(3, 40, 50)
    return dicom(volume, frames=3, SOPClassUID=TOMOGRAPHY, ImageLaterality="R", **{**PATIENT, **elements})


def asked(client: TestClient, data: bytes, query: str = "format=dicom-sr") -> Response:
    return client.post(f"{PREDICT}?{query}", content=data)


def read(response: Response) -> Dataset:
    assert response.status_code == 200, response.text
    assert response.headers["Content-Type"] == "application/dicom"
    return dcmread(io.BytesIO(response.content))


def items(report: Dataset) -> Iterator[Dataset]:
    for item in report.get("ContentSequence", []):
        yield item
        yield from items(item)


def named(report: Dataset, meaning: str) -> list[Dataset]:
    return [item for item in items(report) if item.ConceptNameCodeSequence[0].CodeMeaning == meaning]


def test_holds_the_prediction(client: TestClient) -> None:
    data = source()
    [prediction] = client.post(f"{PREDICT}?frame=3", content=data).json()["predictions"]
    report = read(asked(client, data, "format=dicom-sr&frame=3"))
    assert report.SOPClassUID == uid.ComprehensiveSRStorage
    findings = named(report, "Finding")
    assert [item.TextValue for item in findings] == LABELS
    for item, entry in zip(findings, prediction["probabilities"], strict=True):
        [measured] = [child.MeasuredValueSequence[0] for child in item.ContentSequence]
        assert float(measured.NumericValue) == pytest.approx(entry["probability"], abs=1e-6)
    [conclusion], [comment] = named(report, "Conclusion"), named(report, "Comment")
    assert conclusion.TextValue == prediction["label"]
    assert "not a medical device" in comment.TextValue
    [side] = named(report, "Image Laterality")
    assert side.ConceptCodeSequence[0].CodeMeaning == "Right"
    assert (report.PreliminaryFlag, report.VerificationFlag) == ("PRELIMINARY", "UNVERIFIED")


def test_names_the_model(client: TestClient) -> None:
    data = source()
    model = client.post(PREDICT, content=data).json()["model"]
    report = read(asked(client, data))
    values = {item.ConceptNameCodeSequence[0].CodeMeaning: item.get("TextValue") for item in items(report)}
    assert values["Algorithm Name"] == model["name"]
    assert values["Algorithm Version"] == model["version"]
    assert values["Algorithm Parameters"] == model["digest"]


@pytest.mark.parametrize(("query", "frame"), [("", 2), ("&frame=1", 1)])
def test_refers_to_the_frame_and_the_patient(client: TestClient, query: str, frame: int) -> None:
    report = read(asked(client, source(), f"format=dicom-sr{query}"))
    original = dcmread(io.BytesIO(source()))
    for keyword in ("StudyInstanceUID", *PATIENT):
        assert report[keyword].value == original[keyword].value, keyword
    assert report.SeriesInstanceUID != original.SeriesInstanceUID
    [image] = named(report, "Source image")
    [reference] = image.ReferencedSOPSequence
    assert reference.ReferencedSOPInstanceUID == original.SOPInstanceUID
    assert reference.ReferencedFrameNumber == frame
    [study] = report.CurrentRequestedProcedureEvidenceSequence
    [series] = study.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == original.SeriesInstanceUID


def test_each_has_its_own_name(client: TestClient) -> None:
    data = source()
    first, second = read(asked(client, data)), read(asked(client, data))
    assert first.SOPInstanceUID != second.SOPInstanceUID


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("application/dicom", "application/dicom"),
        ("application/json;q=0.1, application/dicom", "application/dicom"),
        ("*/*", "application/json"),
        ("application/json", "application/json"),
    ],
)
def test_asked_for_by_accept(client: TestClient, accept: str, kind: str) -> None:
    response = client.post(PREDICT, content=source(), headers={"Accept": accept})
    assert response.headers["Content-Type"] == kind
    written_out = client.post(f"{PREDICT}?format=json", content=source(), headers={"Accept": accept})
    assert written_out.headers["Content-Type"] == "application/json"


def test_only_about_one_dicom_file(client: TestClient) -> None:
    assert "PNG" in problem(asked(client, encode(noise(9, 9), "PNG")), 422, "no-report").detail
    files = [("file", ("a.dcm", source())), ("file", ("b.dcm", source()))]
    problem(client.post(f"{PREDICT}?format=dicom-sr", files=files), 422, "no-report")
    problem(asked(client, source(), "format=dicom"), 422, "invalid-parameter")


@pytest.mark.parametrize("keyword", ["SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"])
def test_what_can_not_be_referred_to(client: TestClient, keyword: str) -> None:
    image = dataset(noise(9, 9))
    data = written(image)
    value = str(image[keyword].value).encode()
    number = image[keyword].tag
    head = number.group.to_bytes(2, "little") + number.element.to_bytes(2, "little") + b"UI"
    assert head in data
    without = data.replace(head + len(value + b"\0").to_bytes(2, "little") + value + b"\0", head + b"\0\0")
    assert without != data
    assert keyword in problem(asked(client, without), 422, "no-report").detail


def test_patient_elements_that_break_the_standard_are_not_quoted(client: TestClient) -> None:
    response = asked(client, written(marked(noise(9, 9))))
    if response.status_code != 200:
        assert MARKER not in problem(response, 422, "no-report").detail


def test_without_any_patient(client: TestClient) -> None:
    report = read(asked(client, dicom(noise(9, 9))))
    assert report.PatientName == ""
    assert "ReferencedFrameNumber" not in named(report, "Source image")[0].ReferencedSOPSequence[0]


@pytest.mark.skipif(which("dsrdump") is None, reason="dcmtk is not installed")
def test_dcmtk_reads_it(client: TestClient, tmp_path: Path) -> None:
    path = tmp_path / "report.dcm"
    path.write_bytes(asked(client, source()).content)
    shown = subprocess.run(["dsrdump", str(path)], capture_output=True, text=True, check=True)
    assert "Comprehensive SR Document" in shown.stdout
    assert not any(line.startswith(("E:", "F:")) for line in shown.stderr.splitlines())
    for label in LABELS:
        assert f'"Finding")="{label}"' in shown.stdout


@pytest.mark.skipif(which("dciodvfy") is None, reason="dicom3tools is not installed")
def test_breaks_no_rule_of_its_class(client: TestClient, tmp_path: Path) -> None:
    path = tmp_path / "report.dcm"
    path.write_bytes(asked(client, source()).content)
    checked = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False)
    assert "ComprehensiveSR" in checked.stdout + checked.stderr
    assert "Error" not in checked.stdout + checked.stderr


@pytest.mark.parametrize(
    ("probabilities", "conclusion"),
    [([0.6, 0.2, 0.9], f"{LABELS[2]}, {LABELS[0]}"), ([0.1, 0.2, 0.3], "none of the labels")],
)
def test_a_multi_label_model_concludes_each_or_none(probabilities: list[float], conclusion: str) -> None:
    card = tiny_card("eyes", "1")
    model = SimpleNamespace(
        name="eyes", version="1", digest="sha256:0", card=card.model_copy(update={"task": "multi-label"})
    )
    data = source()
    image = preprocess(data, card.input)
    outputs = Outputs(np.array(probabilities, np.float32), np.zeros(1, np.float32), np.zeros((3, 2, 2), np.float32))
    report = dcmread(io.BytesIO(write_report(data, cast(Model, model), image, outputs)))
    assert [item.TextValue for item in named(report, "Conclusion")] == [conclusion]


def test_the_first_report_imports_in_a_thread(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the event loop the import would hold every other request for half a second."""
    name = "service.report.document"
    monkeypatch.delitem(sys.modules, name)
    importers: list[str] = []

    class Watch(importlib.abc.MetaPathFinder):
        def find_spec(self, fullname: str, *_: object) -> None:
            if fullname == name:
                importers.append(threading.current_thread().name)

    monkeypatch.setattr(sys, "meta_path", [Watch(), *sys.meta_path])
    read(asked(client, source()))
    assert len(importers) == 1
    assert importers[0].startswith("decode")  # the pool that writes reports
