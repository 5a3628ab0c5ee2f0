"""What a model is for, in a form that can be checked against a DICOM file. No torch here, and no pydicom.

A DICOM file says what made it: its Modality (0008,0060) and its SOP class (0008,0016). Each may fit the model,
contradict it, or say nothing. One contradiction is enough to be out of scope; one fit without it is in scope.
"""

import re
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

ImagingModality = Literal[
    "colour fundus photograph", "OCT B-scan", "anterior segment OCT", "anterior segment photograph"
]
"""A B-scan is one of the retina."""
B_SCAN: ImagingModality = "OCT B-scan"
ScopeVerdict = Literal["in scope", "out of scope", "unknown"]
CodeString = Annotated[str, StringConstraints(pattern=r"^[A-Z0-9_ ]{1,16}$")]
Uid = Annotated[str, StringConstraints(pattern=r"^[0-9]+(\.[0-9]+)+$", max_length=64)]

STORAGE = "1.2.840.10008.5.1.4.1.1"
PHOTOGRAPHY_8_BIT, PHOTOGRAPHY_16_BIT = f"{STORAGE}.77.1.5.1", f"{STORAGE}.77.1.5.2"
TOMOGRAPHY = f"{STORAGE}.77.1.5.4"
WIDE_FIELD_STEREOGRAPHIC, WIDE_FIELD_3D = f"{STORAGE}.77.1.5.5", f"{STORAGE}.77.1.5.6"
DICOM_MODALITIES: dict[ImagingModality, list[str]] = {
    "colour fundus photograph": ["OP"],
    "OCT B-scan": ["OPT"],
    "anterior segment OCT": ["OPT"],
    "anterior segment photograph": ["OP", "XC"],
}
"""PS3.3 C.7.3.1.1.1. A slit lamp photograph is OP (PS3.3 A.41.1); a camera before the eye may also say XC."""
DICOM_SOP_CLASSES: dict[ImagingModality, list[str]] = {
    "colour fundus photograph": [PHOTOGRAPHY_8_BIT, PHOTOGRAPHY_16_BIT, WIDE_FIELD_STEREOGRAPHIC, WIDE_FIELD_3D],
    "OCT B-scan": [TOMOGRAPHY],
    "anterior segment OCT": [TOMOGRAPHY],
    "anterior segment photograph": [PHOTOGRAPHY_8_BIT, PHOTOGRAPHY_16_BIT],
}
"""PS3.4 B.5. Not for B-scans: the en face class (.5.7), whose plane is another, and the B-scan volume analysis
(.5.8), whose pixels are flow. Wide field classes project the retina, so they are not for the anterior segment."""
NEUTRAL = re.compile(rf"{re.escape(STORAGE)}(\.7(\.[0-9]+)*|\.77\.1\.4(\.1)?)")
"""Secondary Capture, and photographs and videos of anything in visible light (VL Photographic)."""
DICOM_ROOT = "1.2.840.10008."
OTHER = "OT"


class DicomKind(NamedTuple):
    """What a DICOM file says of how its image was made. None where it says nothing, or not as the standard asks."""

    modality: str | None
    sop_class: str | None
    sop_class_name: str | None
    """As PS3.6 names it; None for a class of a manufacturer."""

    def __str__(self) -> str:
        modality = f"Modality {self.modality}" if self.modality else "no Modality"
        sop_class = f"SOP class {self.sop_class_name or self.sop_class}" if self.sop_class else "no SOP class"
        return f"{modality} and {sop_class}"


class Judgement(NamedTuple):
    """Whether a file is what a model is for, and why."""

    verdict: ScopeVerdict
    reason: str


class ImagingScope(BaseModel):
    """The kind of image that a model is for, and how DICOM files of it describe themselves."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    modality: ImagingModality
    dicom_modalities: list[CodeString] = Field(min_length=1)
    """Values of Modality (0008,0060)."""
    dicom_sop_classes: list[Uid] = Field(min_length=1)
    """Values of SOP Class UID (0008,0016)."""

    @classmethod
    def of(cls, modality: ImagingModality) -> Self:
        """Return the scope of a model for a kind of image, by the tables of this module."""
        return cls(
            modality=modality,
            dicom_modalities=DICOM_MODALITIES[modality],
            dicom_sop_classes=DICOM_SOP_CLASSES[modality],
        )

    def judge(self, kind: DicomKind) -> Judgement:
        """Judge a DICOM file. A neutral class and the Modality OT (other) say nothing."""
        by_modality = None if kind.modality in (None, OTHER) else kind.modality in self.dicom_modalities
        by_class = None if is_neutral(kind.sop_class) else kind.sop_class in self.dicom_sop_classes
        said = (by_modality, by_class)
        wanted = f"The model is for one kind of image, {self.modality} (Modality {' or '.join(self.dicom_modalities)})"
        if False in said:
            return Judgement(
                "out of scope", f"{wanted}, and the DICOM file says {kind}: send it to the model for its kind of image."
            )
        if True in said:
            return Judgement("in scope", f"{wanted}, and the DICOM file says {kind}.")
        return Judgement("unknown", f"{wanted}. The DICOM file says {kind}, so its kind of image is not known.")


def is_neutral(sop_class: str | None) -> bool:
    """Whether a SOP class says nothing of the kind of image: none, a neutral one, or one of a manufacturer."""
    return sop_class is None or not sop_class.startswith(DICOM_ROOT) or NEUTRAL.fullmatch(sop_class) is not None


def judged(scope: ImagingScope | None, kind: DicomKind | None) -> Judgement | None:
    """Judge a file; None where the card has no scope or the file is not DICOM."""
    return None if scope is None or kind is None else scope.judge(kind)
