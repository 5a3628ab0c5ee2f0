"""What an answer says of the image file itself, and whether it is what the model is for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, Field

from models.scope import ImagingScope, ScopeVerdict, judged

if TYPE_CHECKING:  # clients import this file without the decoders
    from models.preprocessing import Preprocessed


class Crop(BaseModel):
    """The part of the image that the model saw, in pixels of the upright image, before it was resized."""

    left: int = Field(description="Of its upper left corner; negative where black was added beside the image.")
    top: int
    width: int
    height: int


class ImageFacts(BaseModel):
    """What the file says of its image. Of a DICOM file only its SOP class is read beside it, and no patient data."""

    format: str = Field(description="JPEG, PNG, TIFF, BMP, WEBP or DICOM.")
    width: int = Field(description="Size in pixels, upright.")
    height: int
    crop: Crop = Field(
        description="What became the input, as the `input` section of the card says: the image, its content or its "
        "centre. An activation map covers this part."
    )
    frame: int = Field(description="The DICOM frame or TIFF page that was used, from 1.")
    frames: int | None = Field(default=None, description="The number of frames of a DICOM file; null for other files.")
    laterality: Literal["R", "L", "B"] | None = Field(
        default=None, description="The eye, if a DICOM file names it: R, L or B (both)."
    )
    modality: str | None = Field(
        default=None, description="Modality (0008,0060) of a DICOM file, such as OP or OPT; null if it names none."
    )


class ImageScope(BaseModel):
    """Whether a DICOM file is of the kind of image that the model is for."""

    verdict: ScopeVerdict = Field(
        description="`unknown` if the file does not say what made it, as a secondary capture without a modality."
    )
    reason: str = Field(description="What the model is for, and what the file says.")


def image_facts(image: Preprocessed) -> dict[str, Any]:
    """Write :class:`ImageFacts`."""
    return {
        "format": image.format,
        "width": image.width,
        "height": image.height,
        "crop": image.crop._asdict(),
        "frame": image.frame,
        "frames": image.frames,
        "laterality": image.laterality,
        "modality": image.dicom.modality if image.dicom else None,
    }


def image_scope(scope: ImagingScope | None, image: Preprocessed) -> dict[str, str] | None:
    """Write :class:`ImageScope`."""
    judgement = judged(scope, image.dicom)
    return None if judgement is None else judgement._asdict()
