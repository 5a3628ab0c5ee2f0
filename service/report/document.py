"""A prediction as a DICOM structured report, to be stored beside its image.

Only for it are the patient and study elements of the image file read (``source``), because a report must repeat
them (PS3.3 A.35.3). They go into the report and nowhere else.
"""

import io
from http import HTTPStatus

import numpy as np
from highdicom.sr import (
    CodeContentItem,
    CodedConcept,
    ComprehensiveSR,
    ContainerContentItem,
    ContentItem,
    ContentSequence,
    ImageContentItem,
    NumContentItem,
    RelationshipTypeValues,
    TextContentItem,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid

from models.preprocessing import Preprocessed
from models.scope import judged
from service import NOTICE, __version__
from service.http.answers import present, style_shift
from service.http.problems import ProblemError
from service.inference.runtime import Model, Outputs
from service.report.source import Source, referred_to

REPORT = CodedConcept("18748-4", "LN", "Diagnostic imaging report")
STYLE = CodedConcept("style-shift", "99RETINASRM", "Style shift against the training images")
VERDICTS = {
    "usual": CodedConcept("usual", "99RETINASRM", "Image style usual for the algorithm"),
    "unusual": CodedConcept("unusual", "99RETINASRM", "Image style unusual for the algorithm"),
    "unlike": CodedConcept("unlike", "99RETINASRM", "Image unlike those that the algorithm knows"),
}
"""Codes of this project: no standard terminology has them."""
SIDES = {"R": codes.SCT.Right, "L": codes.SCT.Left, "B": codes.SCT.RightAndLeft}
CONTAINS, HAS_CONTEXT, HAS_PROPERTIES = (
    RelationshipTypeValues.CONTAINS,
    RelationshipTypeValues.HAS_OBS_CONTEXT,
    RelationshipTypeValues.HAS_PROPERTIES,
)


class Report(ComprehensiveSR):
    """A report on an image of any class, private ones included."""

    def copy_patient_and_study_information(self, dataset: Dataset) -> None:
        """Copy nothing: ``__init__`` has set each of them, and highdicom knows only the standard's classes."""


def write_report(data: bytes, model: Model, image: Preprocessed, outputs: Outputs) -> bytes:
    """Return a Comprehensive SR document (preliminary, unverified) on the DICOM file ``data``.

    Raises:
        ProblemError: if the file is not DICOM, is not of the kind of image that the model is for, or lacks an element
            that a report refers to.
    """
    if image.format != "DICOM":
        raise ProblemError(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "no-report",
            f"A structured report needs a DICOM file to refer to, and this is {image.format}: ask for JSON.",
        )
    judgement = judged(model.card.scope, image.dicom)
    if judgement is not None and judgement.verdict == "out of scope":
        raise ProblemError(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "no-report",
            f"There is no report of a file that is out of scope. {judgement.reason}",
        )
    try:
        source = referred_to(data)
        report = Report(
            evidence=[source.elements],
            content=content(source, model, image, outputs),
            series_instance_uid=generate_uid(prefix=None),
            series_number=1,
            sop_instance_uid=generate_uid(prefix=None),
            instance_number=1,
            manufacturer="retina-srm",
            manufacturer_model_name=model.name[:64],
            software_versions=__version__,
            is_complete=True,
            series_description="SRM-ResNet classification",
        )
        stream = io.BytesIO()
        report.save_as(stream, enforce_file_format=True)
        return stream.getvalue()
    except ProblemError:
        raise
    except (ValueError, TypeError, AttributeError, LookupError):  # the error texts may quote patient data
        raise ProblemError(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "no-report",
            "The patient, study or instance elements of the DICOM file break the standard, so no report can "
            "repeat them: ask for JSON, or correct the file.",
        ) from None


def content(source: Source, model: Model, image: Preprocessed, outputs: Outputs) -> ContainerContentItem:
    """The content tree of the report: the algorithm, the image, each class with its probability, the conclusion."""
    labels, probabilities = model.card.labels, outputs.probabilities
    several = model.card.task == "multi-label"
    conclusion = present(model.card, probabilities) if several else [labels[int(np.argmax(probabilities))]]
    root = ContainerContentItem(REPORT)
    findings = ContainerContentItem(codes.DCM.Findings, relationship_type=CONTAINS)
    findings.ContentSequence = ContentSequence(
        [finding(label, float(value)) for label, value in zip(labels, probabilities, strict=True)]
    )
    items: list[ContentItem] = [
        TextContentItem(codes.DCM.AlgorithmName, model.name, HAS_CONTEXT),
        TextContentItem(codes.DCM.AlgorithmVersion, model.version, HAS_CONTEXT),
        TextContentItem(codes.DCM.AlgorithmParameters, model.digest, HAS_CONTEXT),
        ImageContentItem(
            codes.DCM.SourceImage,
            source.elements.SOPClassUID,
            source.elements.SOPInstanceUID,
            referenced_frame_numbers=[image.frame] if "NumberOfFrames" in source.elements else None,
            relationship_type=CONTAINS,
        ),
    ]
    if image.laterality:
        items.append(CodeContentItem(codes.DCM.ImageLaterality, SIDES[image.laterality], CONTAINS))
    shift = style_shift(model.card, outputs)
    if shift is not None:
        items.append(CodeContentItem(STYLE, VERDICTS[shift["verdict"]], CONTAINS))
    items += [
        findings,
        TextContentItem(codes.DCM.Conclusion, ", ".join(conclusion) or "none of the labels", CONTAINS),
        TextContentItem(codes.DCM.Comment, NOTICE, CONTAINS),
    ]
    if source.left_empty:
        fault = f"Left empty, because the values in the image file break the standard: {', '.join(source.left_empty)}."
        items.append(TextContentItem(codes.DCM.Comment, fault, CONTAINS))
    root.ContentSequence = ContentSequence(items)
    return root


def finding(label: str, probability: float) -> TextContentItem:
    item = TextContentItem(codes.DCM.Finding, label, CONTAINS)
    item.ContentSequence = ContentSequence(
        [NumContentItem(codes.DCM.Probability, round(probability, 6), codes.UCUM.NoUnits, None, HAS_PROPERTIES)]
    )
    return item
