"""DICOM files made on the spot, and the ones that pydicom brings along."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import uid
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID

from models.preprocessing.dicom import read_frame

Array = NDArray[Any]
PHOTOGRAPH, TOMOGRAPHY = uid.OphthalmicPhotography8BitImageStorage, uid.OphthalmicTomographyImageStorage


def dataset(pixels: Array, *, frames: int | None = None, bits: int | None = None, **elements: Any) -> Dataset:
    """An image of (rows, columns[, 3]), or with ``frames`` (frames, rows, columns[, 3]); other elements by keyword."""
    picture = pixels if frames is None else pixels[0]
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    image.SOPClassUID = PHOTOGRAPH
    image.SOPInstanceUID, image.SeriesInstanceUID, image.StudyInstanceUID = "1.2.3.1", "1.2.3.2", "1.2.3.3"
    image.Rows, image.Columns = picture.shape[:2]
    if picture.ndim == 3:
        image.SamplesPerPixel, image.PhotometricInterpretation, image.PlanarConfiguration = 3, "RGB", 0
    else:
        image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated = 8 * pixels.itemsize
    image.BitsStored = bits or image.BitsAllocated
    image.HighBit = image.BitsStored - 1
    image.PixelRepresentation = int(np.issubdtype(pixels.dtype, np.signedinteger))
    if frames is not None:
        image.NumberOfFrames = frames
    image.PixelData = pixels.tobytes() + b"\0" * (pixels.nbytes % 2)
    image["PixelData"].VR = "OB" if pixels.itemsize == 1 else "OW"
    for keyword, value in elements.items():
        setattr(image, keyword, value)
    return image


def written(image: Dataset, syntax: UID = uid.ExplicitVRLittleEndian, preamble: bool = True) -> bytes:
    """A file's bytes; without preamble there is no meta information either, as old archives stored them."""
    stream = io.BytesIO()
    if not preamble:
        del image.file_meta
        image.save_as(stream, implicit_vr=syntax.is_implicit_VR, little_endian=True, enforce_file_format=False)
        return stream.getvalue()
    image.file_meta.TransferSyntaxUID = syntax
    image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    image.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def dicom(pixels: Array, syntax: UID = uid.ExplicitVRLittleEndian, **elements: Any) -> bytes:
    """The bytes of :func:`dataset` in a transfer syntax; the compressed ones need an encoder."""
    image = dataset(pixels, **elements)
    if syntax.is_encapsulated:
        image.compress(syntax, generate_instance_uid=False)
    return written(image, syntax)


def bundled(name: str) -> bytes:
    """One of the files that come with pydicom."""
    path = get_testdata_file(name, download=False)
    assert isinstance(path, str), name
    return Path(path).read_bytes()


def picture_of(data: bytes, frame: int | None = None) -> Array:
    """A frame's 8-bit pixels, before they are fitted to a network's input."""
    return np.asarray(read_frame(data, frame, 10**7).picture)
