"""Whose DICOM files these are, by their headers, where neither folders nor a table say so."""

from pathlib import Path

from pydicom import dcmread
from pydicom.errors import InvalidDicomError

from training.datasets.folder.listing import Listing
from training.datasets.released import SUFFIXES


def add_dicom_patients(listing: Listing) -> None:
    """Take the patients from the Patient IDs (0010,0020), unless some are known already.

    They are numbered, so that no Patient ID gets into a run's folder. A value that all files share is what an
    anonymiser left, and no patient.
    """
    if any(image.patient for image in listing.images):
        return
    found = [patient_id(listing.root / image.file) for image in listing.images]
    known = list(dict.fromkeys(name for name in found if name))
    if len(known) > 1:
        numbers = {name: f"patient {number}" for number, name in enumerate(known, start=1)}
        listing.images = [
            image._replace(patient=numbers.get(name)) for image, name in zip(listing.images, found, strict=True)
        ]
        listing.layout.append(f"patients: {len(known):,}, by the Patient IDs of the DICOM headers, numbered")
    elif known and len(found) > 1:
        listing.layout.append("patients: not known; all DICOM headers have the same Patient ID")


def patient_id(file: Path) -> str:
    """A DICOM file's Patient ID; empty for other files, and where there is none."""
    if file.suffix.lower() in SUFFIXES:
        return ""
    try:
        header = dcmread(file, stop_before_pixels=True, specific_tags=["PatientID"])
    except (InvalidDicomError, OSError, ValueError, AttributeError):  # decoding the image says what is wrong with it
        return ""
    return str(header.get("PatientID") or "").strip()
