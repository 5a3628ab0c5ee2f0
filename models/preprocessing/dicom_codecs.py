"""The stored values of one DICOM frame, uncompressed or from a codestream. Each compression has exactly one decoder."""

import io
import struct
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import convert_color_space
from pydicom.pixels.utils import as_pixel_options
from pydicom.uid import UID

from models.preprocessing.codestream import (
    J2K_START,
    MAX_SCANS,
    has_too_many_scans,
    read_jpeg,
    read_jpeg_2000,
    with_colours_named,
    with_whole_band,
    without_stray_zero,
)
from models.preprocessing.contained import Answer, decode_apart
from models.preprocessing.dicom_rle import decode_rle
from models.preprocessing.faults import ImageError, damaged

NATIVE = (uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian)
JPEG_LS = (uid.JPEGLSLossless, uid.JPEGLSNearLossless)
LOSSLESS_JPEG = (uid.JPEGLossless, uid.JPEGLosslessSV1)
JPEG = (uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit, *LOSSLESS_JPEG)
ENCAPSULATED = (*JPEG, *JPEG_LS, *uid.JPEG2000TransferSyntaxes, uid.RLELossless)
JP2_SIGNATURE = b"\0\0\0\x0cjP  "


def decode_frame(stream: io.BytesIO, header: Dataset, syntax: UID, index: int, vr: str) -> tuple[NDArray[Any], str]:
    """Decode only frame ``index``, counted from 0, of the pixel data (of this VR) at the position of ``stream``.

    Returns:
        The stored values (rows, columns) or (rows, columns, 3), and their photometric interpretation. YBR becomes RGB.

    Raises:
        ImageError: if the decoder that it needs is not installed, or a codestream is not the picture that the header
            describes.
    """
    options = as_pixel_options(header, pixel_keyword="PixelData", pixel_vr=vr)
    if not syntax.is_encapsulated:
        try:
            return as_array(stream, index, syntax, "", options)
        except ValueError:
            raise damaged(
                "The pixel data (7FE0,0010) of the DICOM file hold fewer bytes than their size asks for"
            ) from None
    offsets = options.pop("extended_offsets", None)
    try:
        frame = get_frame(stream, index, number_of_frames=options["number_of_frames"], extended_offsets=offsets)
    except Exception:  # pydicom's errors of a broken sequence of fragments are of many kinds
        raise damaged(f"Frame {index + 1} is not among the pixel data (7FE0,0010) of the DICOM file") from None
    if syntax in uid.JPEG2000TransferSyntaxes and frame.startswith(JP2_SIGNATURE):
        frame = frame[frame.index(J2K_START) :]  # some writers store a JP2 file, not the codestream alone
    bits = check_codestream(frame, header, syntax)
    options["number_of_frames"] = 1
    try:
        return decode_codestream(frame, header, syntax, bits, options)
    except ImageError:
        raise
    except Exception:  # hostile bytes make a decoder raise many kinds of errors
        raise damaged(f"The {syntax.name} codestream in the DICOM file can't be decoded") from None


def decode_codestream(
    frame: bytes, header: Dataset, syntax: UID, bits: int, options: dict[str, Any]
) -> tuple[NDArray[Any], str]:
    """Decode one frame's codestream by the decoder for it, with pydicom's options for the pixels."""
    if syntax in uid.JPEG2000TransferSyntaxes:
        return array_apart(frame, syntax, "pylibjpeg", options)
    options["bits_allocated"] = header.BitsAllocated if syntax == uid.RLELossless else 8 if bits <= 8 else 16
    if syntax in JPEG and bits == 8:
        if syntax in LOSSLESS_JPEG and header.SamplesPerPixel == 3:
            return lossless_colour(frame, header)
        # libjpeg-turbo reads the kind of JPEG from the codestream.
        return array_apart(with_colours_named(frame), uid.JPEGBaseline8Bit, "pillow", options)
    pixels = header.Rows * header.Columns
    if syntax == uid.RLELossless:
        raw, in_planes = decode_rle(frame, pixels, header.SamplesPerPixel, max(bits // 8, 1)).tobytes(), True
    elif syntax in JPEG_LS:
        about, raw = decode_jpeg_ls(frame, pixels)
        in_planes = bool(about["planes"])
    elif find_spec("libjpeg"):
        about, raw = decode_apart(with_whole_band(frame), "libjpeg", pixels)
        in_planes = bool(about["planes"])
    else:
        raise ImageError(
            "unsupported",
            f"The DICOM file holds a JPEG picture of {bits} bits, and the decoder for it is not installed: store it as "
            "JPEG 2000 or uncompressed, or have the extra 'libjpeg' installed.",
        )
    if options["bits_allocated"] > 1:
        options["planar_configuration"] = int(in_planes)
    return as_array(raw, 0, uid.ExplicitVRLittleEndian, "", options)


def decode_jpeg_ls(frame: bytes, pixels: int) -> Answer:
    try:
        return decode_apart(frame, "jpeg-ls", pixels)
    except ImageError:
        raise
    except ValueError:
        repaired = without_stray_zero(frame)
        if repaired is None:
            raise
        return decode_apart(repaired, "jpeg-ls", pixels)


def as_array(
    source: io.BytesIO | bytes, index: int, syntax: UID, plugin: str, options: dict[str, Any]
) -> tuple[NDArray[Any], str]:
    pixels, properties = get_decoder(syntax).as_array(source, index=index, decoding_plugin=plugin, **options)
    return pixels, str(properties["photometric_interpretation"])


def array_apart(frame: bytes, syntax: UID, plugin: str, options: dict[str, Any]) -> tuple[NDArray[Any], str]:
    """Decode a frame with pydicom in another process."""
    pixels = int(options["rows"]) * int(options["columns"])
    return array_of(decode_apart(frame, "pydicom", pixels, syntax=str(syntax), plugin=plugin, options=options))


def array_of(answer: Answer) -> tuple[NDArray[Any], str]:
    dtype = np.dtype(answer.about["dtype"])
    if dtype.kind not in "iu":
        raise ValueError("kind of pixels")
    return np.frombuffer(answer.pixels, dtype).reshape(answer.about["shape"]), str(answer.about["colours"])


def lossless_colour(frame: bytes, header: Dataset) -> tuple[NDArray[np.uint8], str]:
    """Decode an 8-bit lossless colour JPEG in another process. Its colours are stored unconverted."""
    pixels, colours = array_of(decode_apart(frame, "lossless-colour", header.Rows * header.Columns))
    if header.PhotometricInterpretation != "RGB":
        pixels = convert_color_space(pixels, header.PhotometricInterpretation, "RGB")
    return pixels, colours


def check_codestream(frame: bytes, header: Dataset, syntax: UID) -> int:
    """Check a compressed frame against the header, and return its bits per component.

    Raises:
        ImageError: if it is not the picture that the header describes.
    """
    if syntax == uid.RLELossless:
        return int(header.BitsAllocated)
    try:
        codestream = (read_jpeg_2000 if syntax in uid.JPEG2000TransferSyntaxes else read_jpeg)(frame)
    except (ValueError, IndexError, struct.error) as error:
        raise ImageError(
            "damaged",
            f"The pixel data (7FE0,0010) of the DICOM file are not the codestream that its transfer syntax names "
            f"({syntax.name}): {error}. Some manufacturers scramble it: export the file so that other viewers read it.",
        ) from None
    if syntax not in uid.JPEG2000TransferSyntaxes and has_too_many_scans(frame):
        raise damaged(f"The JPEG picture in the DICOM file has more than {MAX_SCANS} scans; encoders write at most 10")
    expected = (header.Columns, header.Rows, header.SamplesPerPixel)
    if codestream[:3] != expected:
        raise damaged(
            "The compressed picture in the DICOM file has {} x {} pixels of {} components, and its header says "
            "{} x {} of {}".format(*codestream[:3], *expected)
        )
    if codestream.bits > 16:
        raise damaged(f"The compressed picture in the DICOM file has {codestream.bits} bits a component, more than 16")
    return codestream.bits
