"""A DICOM image with a marker in every element that may identify somebody."""

import warnings
from typing import Any

from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset

from tests.models.preprocessing.dicom_files import dataset

MARKER = "ZQXJKVW"
IDENTIFYING: dict[str, Any] = {
    "PatientName": f"{MARKER}^A",
    "PatientID": f"{MARKER}B",
    "OtherPatientNames": f"{MARKER}^C",
    "PatientComments": f"{MARKER}D",
    "PatientAddress": f"{MARKER}E",
    "PatientTelephoneNumbers": f"{MARKER}F",
    "PatientMotherBirthName": f"{MARKER}^G",
    "AccessionNumber": f"{MARKER}H",
    "InstitutionName": f"{MARKER}I",
    "InstitutionAddress": f"{MARKER}J",
    "ReferringPhysicianName": f"{MARKER}^K",
    "OperatorsName": f"{MARKER}^L",
    "StudyDescription": f"{MARKER}M",
    "SeriesDescription": f"{MARKER}N",
    "ImageComments": f"{MARKER}O",
    "StudyID": f"{MARKER}P",
    "DeviceSerialNumber": f"{MARKER}Q",
    "StationName": f"{MARKER}R",
    "ProtocolName": f"{MARKER}S",
}


def marked(pixels: Any, **elements: Any) -> Dataset:
    """An image with the marker in each identifying element, in nested sequences, and where a date or a code belongs."""
    image = dataset(pixels, **IDENTIFYING, **elements)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nested = Dataset()
        for keyword, value in IDENTIFYING.items():
            setattr(nested, keyword, value)
        deep = Dataset()
        deep.OtherPatientIDsSequence = [nested]
        image.OtherPatientIDsSequence = [nested]
        image.RequestAttributesSequence = [deep]
        for keyword in ("PatientBirthDate", "StudyDate", "Laterality", "PatientAge", "StudyTime"):
            image.add_new(keyword, dictionary_VR(keyword), MARKER)
        group = Dataset()
        group.FrameAnatomySequence = [nested]
        image.SharedFunctionalGroupsSequence = [group]
    return image
