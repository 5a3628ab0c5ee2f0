"""DICOM files with any bytes as patient and study elements, and the structured reports on them."""

import io
import struct
from collections.abc import Iterator
from typing import Any

from fastapi.testclient import TestClient
from pydicom import dcmread, uid
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataset import Dataset

from tests.models.preprocessing.dicom_files import dataset, written
from tests.models.preprocessing.image_files import noise

REPORT = "/v1/models/grey/predict?format=dicom-sr"
PATIENT: dict[str, bytes] = {
    "AccessionNumber": b"A1",
    "PatientBirthDate": b"19480229",
    "PatientID": b"0815",
    "PatientName": b"Doe^Jane",
    "PatientSex": b"F",
    "ReferringPhysicianName": b"Roe^Richard",
    "StudyDate": b"20260102",
    "StudyID": b"7",
    "StudyTime": b"101112",
}
LONG_FORM = ("OB", "OW", "SQ", "UN", "UT")


def image_with(
    values: dict[str, bytes], representations: dict[str, str] | None = None, implicit: bool = False
) -> bytes:
    """A DICOM file with these bytes as values, in the standard's representations or others, unchecked."""
    plain = written(dataset(noise(9, 9)), uid.ImplicitVRLittleEndian if implicit else uid.ExplicitVRLittleEndian)
    image = dcmread(io.BytesIO(plain))
    parts: dict[int, tuple[str | None, bytes]] = {}
    for tag in image.keys():  # noqa: SIM118 - of which items() would decode the values
        element: Any = image.get_item(tag)
        parts[int(tag)] = element.VR, element.value
    for keyword, value in values.items():
        vr = (representations or {}).get(keyword) or dictionary_VR(keyword)
        parts[tag_for_keyword(keyword) or 0] = None if implicit else vr, value + b" " * (len(value) % 2)
    data = plain[: 132 + 12 + image.file_meta.FileMetaInformationGroupLength]
    for number, (code, content) in sorted(parts.items()):
        data += struct.pack("<HH", number >> 16, number & 0xFFFF)
        if code is None:
            data += struct.pack("<I", len(content))
        elif code in LONG_FORM:
            data += struct.pack("<2sxxI", code.encode(), len(content))
        else:
            data += struct.pack("<2sH", code.encode(), len(content))
        data += content
    return data


def reported(client: TestClient, data: bytes) -> tuple[bytes, Dataset]:
    response = client.post(REPORT, content=data)
    assert response.status_code == 200, response.text
    return response.content, dcmread(io.BytesIO(response.content))


def comments(report: Dataset) -> Iterator[str]:
    for item in report.ContentSequence:
        if item.ConceptNameCodeSequence[0].CodeMeaning == "Comment":
            yield item.TextValue


def named_as_empty(report: Dataset) -> str:
    [_, *more] = comments(report)
    return " ".join(more)
