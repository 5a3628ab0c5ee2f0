"""The elements of an image file that a structured report repeats, checked one by one.

Each patient and study element may be empty in a report (type 2), so one that breaks the standard is left empty and
named.
"""

import io
import re
from datetime import datetime
from http import HTTPStatus
from typing import Any, NamedTuple

from pydicom import dcmread
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

from service.http.problems import ProblemError
from service.report.character_sets import decoded

REFERRED_TO = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")
TEXT = {"PN": 64, "LO": 64, "SH": 16}
"""The longest value of each representation of text, in characters, and for PN of each component group (PS3.5, 6.2)."""
COPIED = {
    "PatientName": "PN",
    "PatientID": "LO",
    "PatientBirthDate": "DA",
    "PatientSex": "CS",
    "StudyID": "SH",
    "StudyDate": "DA",
    "StudyTime": "TM",
    "AccessionNumber": "SH",
    "ReferringPhysicianName": "PN",
}
"""Patient and study elements that a report must have, with their value representations. They may be empty (type 2)."""
READABLE = {"AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UN", "UR", "UT"}
"""Value representations whose bytes are characters, and UN, which may be any."""

UNIQUE = r"(0|[1-9]\d*)(\.(0|[1-9]\d*))+"
TIME = r"([01]\d|2[0-3])([0-5]\d(([0-5]\d|60)(\.\d{1,6})?)?)?"


class Source(NamedTuple):
    """What a report repeats of its image: the elements, in UTF-8, and the keywords of those left empty as invalid."""

    elements: Dataset
    left_empty: list[str]


def referred_to(data: bytes) -> Source:
    """Read the elements that a report on the DICOM file ``data`` repeats.

    Raises:
        ProblemError: if one that the report refers to is missing or is no UID.
    """
    tags: list[Any] = ["SpecificCharacterSet", *REFERRED_TO, *COPIED, "NumberOfFrames"]
    whole = dcmread(io.BytesIO(data), stop_before_pixels=True, force=True, specific_tags=tags)
    terms = whole.get("SpecificCharacterSet") or ""  # pydicom reads it together with the file
    character_set = (terms if isinstance(terms, str) else str(terms[0])).strip()
    source = Source(Dataset(), [])
    source.elements.SpecificCharacterSet = "ISO_IR 192"
    for keyword in REFERRED_TO:
        setattr(source.elements, keyword, identifier(whole, keyword))
    if "NumberOfFrames" in whole:
        source.elements.NumberOfFrames = whole.NumberOfFrames
    for keyword, representation in COPIED.items():
        try:
            value = value_of(whole, keyword)
            text = "" if value is None else decoded(value, character_set).rstrip("\0").strip(" ")
            usable = not text or is_valid(text, representation)
        except ValueError:  # UnicodeError is one
            usable = False
        setattr(source.elements, keyword, (text or None) if usable else None)
        if not usable:
            source.left_empty.append(keyword)
    return source


def value_of(elements: Dataset, keyword: str) -> bytes | None:
    """The bytes of an element of text, as in the file; None without the element.

    Raises:
        ValueError: if the file gives it a representation that is not text.
    """
    if keyword not in elements:
        return None
    element = elements.get_item(keyword)
    if element is None or (element.VR is not None and element.VR not in READABLE):
        raise ValueError(f"{keyword} is not text")
    if isinstance(element, RawDataElement):
        return element.value or b""
    raise ValueError(f"{keyword} has no bytes")


def identifier(elements: Dataset, keyword: str) -> str:
    try:
        text = (value_of(elements, keyword) or b"").decode("ascii").rstrip("\0 ")
    except ValueError:
        text = "?"
    if text and len(text) <= 64 and re.fullmatch(UNIQUE, text):
        return text
    fault = f"has no valid {keyword}" if text else f"lacks {keyword}"
    raise ProblemError(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "no-report",
        f"The DICOM file {fault}, so no report can refer to it: ask for JSON, or correct the file.",
    )


def is_valid(text: str, representation: str) -> bool:
    """Whether text that is not empty is one value of an element of ``COPIED``, by PS3.5, section 6.2."""
    if representation == "DA":
        try:
            return bool(re.fullmatch(r"[0-9]{8}", text) and datetime.strptime(text, "%Y%m%d"))
        except ValueError:
            return False
    if representation == "TM":
        return re.fullmatch(TIME, text, re.ASCII) is not None
    if representation == "CS":  # of Patient's Sex: PS3.3, C.7.1.1
        return text in ("M", "F", "O")
    if "\\" in text or not text.isprintable():
        return False
    groups = text.split("=") if representation == "PN" else [text]
    if len(groups) > 3 or any(len(group) > TEXT[representation] for group in groups):
        return False
    return representation != "PN" or all(group.count("^") < 5 for group in groups)
