"""What a structured report repeats of its image, with one odd value at a time."""

import io
import subprocess
from pathlib import Path
from shutil import which
from typing import Any

import pytest
from fastapi.testclient import TestClient
from pydicom import config, dcmread

from service.report.source import is_valid
from tests.service.problems import problem
from tests.service.report.report_files import PATIENT, REPORT, image_with, named_as_empty, reported

Odd = tuple[str, bytes]
ODD: dict[str, tuple[str, list[Odd]]] = {
    "DA": (
        "PatientBirthDate StudyDate",
        [
            ("DA", b"MARKER"),
            ("DA", b"19500230"),  # a day that there is not
            ("DA", b"19501301"),
            ("DA", b"00000000"),
            ("DA", b"1950.01.02"),  # of ACR-NEMA
            ("DA", b"1950-01-02"),
            ("DA", b"1950"),
            ("DA", b"19500102-19500103"),
            ("DA", b"19500102\\19500103"),
            ("DA", b"195001020000"),
            ("DA", "\uff11950010".encode()),
            ("SQ", b""),
            ("US", b"\x01\0"),
            ("FD", b"\0" * 8),
            ("OB", b"\xff\xfe"),
        ],
    ),
    "TM": (
        "StudyTime",
        [
            ("TM", b"MARKER"),
            ("TM", b"240000"),
            ("TM", b"10:11:12"),
            ("TM", b"1"),
            ("TM", b"106000"),
            ("TM", b"101112.1234567"),
            ("TM", b"10\\11"),
            ("US", b"\x01\0"),
        ],
    ),
    "CS": ("PatientSex", [("CS", b"MARKER"), ("CS", b"f"), ("CS", b"M\\F"), ("CS", b"\xc4"), ("US", b"F\0")]),
    "SH": (
        "AccessionNumber StudyID",
        [("SH", b"MARKER" * 3), ("SH", b"A\\B"), ("SH", b"A\nB"), ("SH", b"A\xc4"), ("UL", b"AAAA"), ("SQ", b"")],
    ),
    "LO": (
        "PatientID",
        [("LO", b"MARKER" * 11), ("LO", b"A\\B"), ("LO", b"A\x1bB"), ("LO", b"A\0B"), ("OB", b"AB"), ("SQ", b"")],
    ),
    "PN": (
        "PatientName ReferringPhysicianName",
        [
            ("PN", b"MARKER" * 11),
            ("PN", b"A=B=C=D"),
            ("PN", b"A^B^C^D^E^F"),
            ("PN", b"A\\B"),
            ("PN", b"A\x07B"),
            ("PN", b"M\xfcller"),  # of no stated character set
            ("PN", "Müller".encode()),
            ("PN", b"Yamada=\x1b$B;"),  # half a character
            ("PN", b"Yamada=\x1b$X;3"),
            ("US", b"AA"),
            ("SQ", b""),
        ],
    ),
}
CASES = [
    pytest.param(keyword, *odd, id=f"{keyword}-{odd[0]}-{number}")
    for keywords, values in ODD.values()
    for keyword in keywords.split()
    for number, odd in enumerate(values)
]


def check_rules(content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read every value with pydicom's checks as errors, and with dicom3tools where installed."""
    monkeypatch.setattr(config.settings, "reading_validation_mode", config.RAISE)
    dcmread(io.BytesIO(content)).walk(lambda _, element: element.value)
    if which("dciodvfy"):
        path = tmp_path / "report.dcm"
        path.write_bytes(content)
        checked = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False)
        assert "ComprehensiveSR" in checked.stdout + checked.stderr
        assert "Error" not in checked.stdout + checked.stderr


@pytest.mark.parametrize(("keyword", "vr", "value"), CASES)
def test_an_odd_value_leaves_its_element_empty(
    client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keyword: str, vr: str, value: bytes
) -> None:
    content, report = reported(client, image_with(PATIENT | {keyword: value}, {keyword: vr}))
    assert not report[keyword].value
    for other in PATIENT.keys() - {keyword}:
        assert str(report[other].value) == PATIENT[other].decode(), other
    assert named_as_empty(report) == (
        f"Left empty, because the values in the image file break the standard: {keyword}."
    )
    assert b"MARKER" not in content
    check_rules(content, tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("PatientBirthDate", b"20000229"),
        ("StudyDate", b"        "),
        ("StudyTime", b"10"),
        ("StudyTime", b"235959.123456"),
        ("PatientSex", b"O "),
        ("AccessionNumber", b" 123456789012345"),
        ("PatientID", b"x" * 64),
        ("PatientName", b"A^B^C^D^E"),
        ("PatientName", b"\0\0"),
        ("StudyID", b""),
    ],
)
def test_an_unusual_value_is_repeated(
    client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keyword: str, value: bytes
) -> None:
    content, report = reported(client, image_with(PATIENT | {keyword: value}))
    assert str(report[keyword].value or "") == value.decode().strip(" \0")
    assert named_as_empty(report) == ""
    check_rules(content, tmp_path, monkeypatch)


def test_a_leap_second_is_valid() -> None:
    """PS3.5, section 6.2; dicom3tools refuses it."""
    assert is_valid("235960", "TM")
    assert not is_valid("235961", "TM")


def test_several_odd_values_are_all_named(client: TestClient) -> None:
    odd = dict.fromkeys(PATIENT, b"MARKER\\" * 11)
    content, report = reported(client, image_with(odd))
    assert all(keyword in named_as_empty(report) and not report[keyword].value for keyword in PATIENT)
    assert b"MARKER" not in content


@pytest.mark.parametrize(
    ("vr", "terms"), [("CS", b"MARKER"), ("CS", b"\\"), ("CS", b"ISO_IR 999"), ("LO", b"\xff\xff")]
)
def test_under_an_unknown_character_set_only_ascii_is_repeated(client: TestClient, vr: str, terms: bytes) -> None:
    values = PATIENT | {"SpecificCharacterSet": terms, "PatientName": b"M\xfcller"}
    _, report = reported(client, image_with(values, {"SpecificCharacterSet": vr}))
    assert (report.PatientName, report.ReferringPhysicianName) == ("", "Roe^Richard")
    assert named_as_empty(report).endswith(": PatientName.")


@pytest.mark.parametrize("keyword", ["SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"])
@pytest.mark.parametrize("value", [b"MARKER", b"1.02.3", b"1.2\\1.3", b"1." + b"2" * 64, b"\xff1"])
def test_what_the_report_refers_to_must_be_valid(client: TestClient, keyword: str, value: bytes) -> None:
    answer: Any = problem(client.post(REPORT, content=image_with({keyword: value})), 422, "no-report")
    assert f"has no valid {keyword}" in answer.detail
    assert "MARKER" not in answer.detail


def test_a_private_class_of_image_has_a_report(client: TestClient) -> None:
    private = b"1.2.840.113619.4.30"
    _, report = reported(client, image_with(PATIENT | {"SOPClassUID": private}))
    [evidence] = report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence
    assert evidence.ReferencedSOPClassUID == private.decode()
    assert report.PatientName == "Doe^Jane"
