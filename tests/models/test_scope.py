"""What a model is for, against the names that pydicom's dictionary gives to codes and classes."""

from typing import get_args

import pytest
from pydantic import ValidationError
from pydicom._uid_dict import UID_dictionary
from pydicom.sr.codedict import codes
from pydicom.uid import UID

from models.card import Card
from models.scope import DICOM_MODALITIES, DICOM_SOP_CLASSES, DicomKind, ImagingModality, ImagingScope, is_neutral
from tests.models.test_card import Fields

CLASSES = {
    "colour fundus photograph": {
        "OphthalmicPhotography8BitImageStorage",
        "OphthalmicPhotography16BitImageStorage",
        "WideFieldOphthalmicPhotographyStereographicProjectionImageStorage",
        "WideFieldOphthalmicPhotography3DCoordinatesImageStorage",
    },
    "OCT B-scan": {"OphthalmicTomographyImageStorage"},
    "anterior segment OCT": {"OphthalmicTomographyImageStorage"},
    "anterior segment photograph": {"OphthalmicPhotography8BitImageStorage", "OphthalmicPhotography16BitImageStorage"},
}
MEANINGS = {
    "colour fundus photograph": {"Ophthalmic Photography"},
    "OCT B-scan": {"Ophthalmic Tomography"},
    "anterior segment OCT": {"Ophthalmic Tomography"},
    "anterior segment photograph": {"Ophthalmic Photography", "External-camera Photography"},
}
NEUTRAL = {
    "SecondaryCaptureImageStorage",
    "MultiFrameSingleBitSecondaryCaptureImageStorage",
    "MultiFrameGrayscaleByteSecondaryCaptureImageStorage",
    "MultiFrameGrayscaleWordSecondaryCaptureImageStorage",
    "MultiFrameTrueColorSecondaryCaptureImageStorage",
    "VLPhotographicImageStorage",
    "VideoPhotographicImageStorage",
}
UIDS = {keyword: uid for uid, (*_, keyword) in UID_dictionary.items() if keyword}
CAPTURE, VENDOR = UIDS["SecondaryCaptureImageStorage"], "1.3.12.2.1107.5.9.1"
OPT, OP = UIDS["OphthalmicTomographyImageStorage"], UIDS["OphthalmicPhotography8BitImageStorage"]


@pytest.mark.parametrize("modality", get_args(ImagingModality))
def test_the_tables_hold_the_classes_and_codes_that_are_meant(modality: ImagingModality) -> None:
    assert {UID(uid).keyword for uid in DICOM_SOP_CLASSES[modality]} == CLASSES[modality]
    meanings = {code.value: code.meaning for code in (getattr(codes.DCM, name) for name in codes.DCM.dir())}
    assert {meanings[value] for value in DICOM_MODALITIES[modality]} == MEANINGS[modality]


def test_the_neutral_classes_are_the_secondary_captures_and_the_general_photographs() -> None:
    storage = {keyword: uid for keyword, uid in UIDS.items() if uid.startswith("1.2.840.10008.5.1.4.1.1.")}
    assert len(storage) > 150
    assert {keyword for keyword, uid in storage.items() if is_neutral(uid)} == NEUTRAL


@pytest.mark.parametrize(
    ("modality", "sop_class", "verdict"),
    [
        ("OPT", OPT, "in scope"),
        (None, OPT, "in scope"),
        ("OT", OPT, "in scope"),
        ("OP", OPT, "out of scope"),
        ("OPT", OP, "out of scope"),
        ("OP", OP, "out of scope"),
        ("OPT", CAPTURE, "in scope"),
        ("OP", CAPTURE, "out of scope"),
        ("OT", CAPTURE, "unknown"),
        (None, CAPTURE, "unknown"),
        ("XC", UIDS["VLPhotographicImageStorage"], "out of scope"),
        ("OPT", VENDOR, "in scope"),
        (None, VENDOR, "unknown"),
        ("OPT", None, "in scope"),
        (None, None, "unknown"),
        ("CT", UIDS["CTImageStorage"], "out of scope"),
        ("OT", UIDS["CTImageStorage"], "out of scope"),
        ("OPTENF", UIDS["OphthalmicOpticalCoherenceTomographyEnFaceImageStorage"], "out of scope"),
    ],
)
def test_a_contradiction_is_out_of_scope_and_silence_is_unknown(
    modality: str | None, sop_class: str | None, verdict: str
) -> None:
    judgement = ImagingScope.of("OCT B-scan").judge(DicomKind(modality, sop_class, None))
    assert judgement.verdict == verdict
    assert "OCT B-scan (Modality OPT)" in judgement.reason
    assert (sop_class or "no SOP class") in judgement.reason
    assert (f"Modality {modality} " if modality else "no Modality") in judgement.reason


def test_an_external_camera_sees_the_anterior_segment_and_not_the_fundus() -> None:
    kind = DicomKind("XC", UIDS["VLPhotographicImageStorage"], None)
    assert ImagingScope.of("anterior segment photograph").judge(kind).verdict == "in scope"
    assert ImagingScope.of("colour fundus photograph").judge(kind).verdict == "out of scope"


def test_the_card_s_own_lists_decide() -> None:
    """A card of another maker may list more than our tables do."""
    scope = ImagingScope(modality="OCT B-scan", dicom_modalities=["OPT", "OP"], dicom_sop_classes=[OPT, OP])
    assert scope.judge(DicomKind("OP", OP, None)).verdict == "in scope"


@pytest.mark.parametrize(
    "change",
    [
        {"modality": "MRI"},
        {"dicom_modalities": []},
        {"dicom_modalities": ["opt"]},
        {"dicom_sop_classes": []},
        {"dicom_sop_classes": ["OphthalmicTomographyImageStorage"]},
        {"surprise": 1},
    ],
)
def test_what_a_card_may_not_say(card_fields: Fields, change: Fields) -> None:
    scope = ImagingScope.of("OCT B-scan").model_dump() | change
    with pytest.raises(ValidationError, match="scope"):
        Card.model_validate({**card_fields, "schema_version": 3, "scope": scope})


def test_a_scope_needs_the_third_version_and_survives_json(card_fields: Fields) -> None:
    scoped = {**card_fields, "scope": ImagingScope.of("OCT B-scan").model_dump()}
    card = Card.model_validate({**scoped, "schema_version": 3})
    assert Card.model_validate_json(card.model_dump_json()) == card
    assert card.scope is not None
    assert card.scope.dicom_sop_classes == [OPT]
    for version in (1, 2):
        with pytest.raises(ValidationError, match="scope: a card with a scope has schema_version 3"):
            Card.model_validate({**scoped, "schema_version": version})
    assert Card.model_validate(card_fields).scope is None
