"""One frame of a DICOM file as an 8-bit picture.

Only the elements that are named here are read. So patient data never enter an object, a message or a log. Error texts
of the decoders are not repeated, because they may quote values of the file.
"""

import io
import logging
import re
import struct
import warnings
from typing import NamedTuple

from PIL import Image
from pydicom import config, uid
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag
from pydicom.uid import UID

from models.preprocessing.dicom_codecs import ENCAPSULATED, NATIVE, decode_frame
from models.preprocessing.dicom_display import as_eight_bit, functional_group
from models.preprocessing.faults import ImageError, check_size, damaged
from models.preprocessing.files import DICOM_MAGIC, DICOM_PREAMBLE
from models.preprocessing.metered import MeteredBytes
from models.scope import DicomKind

# The warnings and log lines of pydicom quote values of the file. These must not reach the log of the service.
config.settings.reading_validation_mode = config.IGNORE
logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)  # for its children too
warnings.filterwarnings("ignore", module="pydicom")

IMAGE_ELEMENTS = (
    "SOPClassUID",
    "Modality",
    "ImageLaterality",
    "Laterality",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "RescaleSlope",
    "RescaleIntercept",
    "ModalityLUTSequence",
    "WindowCenter",
    "WindowWidth",
    "VOILUTFunction",
    "VOILUTSequence",
    *(
        f"{colour}PaletteColorLookupTable{part}"
        for colour in ("Red", "Green", "Blue")
        for part in ("Descriptor", "Data")
    ),
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
    "ExtendedOffsetTable",
    "ExtendedOffsetTableLengths",
)
TAGS: list[BaseTag | int] = [tag for keyword in IMAGE_ELEMENTS if (tag := tag_for_keyword(keyword))]
NEEDED = (
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "PixelRepresentation",
)
TRANSFER_SYNTAX = 0x00020010
FLOAT_PIXELS, PIXELS = 0x7FE00008, 0x7FE00010
UNDEFINED_LENGTH = 0xFFFFFFFF


class Frame(NamedTuple):
    """One frame of a DICOM file."""

    picture: Image.Image
    """Mode L or RGB."""
    number: int
    """Counted from 1."""
    frames: int
    """Of the file."""
    laterality: str | None
    """R, L or B (both); None if the file does not say."""
    kind: DicomKind


def read_frame(data: bytes, frame: int | None, max_pixels: int) -> Frame:
    """Decode one frame of a DICOM file.

    ``frame`` is counted from 1. Without it the middle frame is decoded: in a volume, the one at the centre.

    Pixels are displayed as the file asks: rescaled, then windowed, MONOCHROME1 inverted, colours as RGB. Spacing,
    overlays and colour profiles are not used, because the training images of the networks have none.

    Raises:
        ImageError: if the file is damaged, has no such frame or no image, has an unsupported compression, or if a frame
            has more than ``max_pixels`` pixels.
    """
    stage = "header"
    try:
        stream = MeteredBytes(data)
        syntax = transfer_syntax(stream, data)
        header = read_dataset(
            stream, syntax.is_implicit_VR, syntax.is_little_endian, stop_when=at_pixels, specific_tags=TAGS
        )
        vr = find_pixels(stream, syntax, header)
        check_complete(header)
        check_size(int(header.Columns), int(header.Rows), max_pixels)
        check_layout(header)
        frames = max(int(header.get("NumberOfFrames") or 1), 1)
        number = (frames + 1) // 2 if frame is None else frame
        if number > frames:
            raise ImageError("frame", f"There is no frame {number}: this DICOM file has {frames}, counted from 1.")
        stage = "pixel data (7FE0,0010)"
        pixels, photometric = decode_frame(stream, header, syntax, number - 1, vr)
        stage = "description of how values become grey or colour"
        return Frame(
            as_eight_bit(pixels, photometric, header, number - 1, syntax.is_little_endian),
            number,
            frames,
            laterality(header, number - 1),
            dicom_kind(header),
        )
    except ImageError:
        raise
    except Exception:  # hostile bytes raise many kinds of errors, whose texts may quote values of the file
        raise damaged(f"The {stage} of the DICOM file can't be read") from None


def transfer_syntax(stream: io.BytesIO, data: bytes) -> UID:
    """Read the transfer syntax, and leave the stream after the file meta information.

    Raises:
        ImageError: if the transfer syntax is not supported.
    """
    stream.seek(DICOM_PREAMBLE + len(DICOM_MAGIC) if data.startswith(DICOM_MAGIC, DICOM_PREAMBLE) else 0)
    meta = read_dataset(stream, False, True, stop_when=lambda tag, *_: tag.group != 2, specific_tags=[TRANSFER_SYNTAX])
    if TRANSFER_SYNTAX not in meta:
        vr = stream.getbuffer()[stream.tell() + 4 : stream.tell() + 6].tobytes()
        return uid.ExplicitVRLittleEndian if vr.isalpha() and vr.isupper() else uid.ImplicitVRLittleEndian
    syntax = UID(meta.TransferSyntaxUID)
    if syntax not in NATIVE and syntax not in ENCAPSULATED:
        # This includes deflated files: their size is known only after they are inflated.
        name = syntax.name if syntax in uid.AllTransferSyntaxes else "unknown"
        raise ImageError(
            "unsupported",
            f"The transfer syntax of the DICOM file ({name}) is not supported: store it uncompressed or as JPEG, "
            "JPEG-LS, "
            "JPEG 2000 or RLE.",
        )
    return syntax


def at_pixels(tag: BaseTag, *_: object) -> bool:
    return bool(FLOAT_PIXELS <= tag <= PIXELS)


def find_pixels(stream: io.BytesIO, syntax: UID, header: Dataset) -> str:
    """Move from the header of the pixel data element to its value (PS3.5 7.1), and return its value representation.

    Raises:
        ImageError: if there are no integer pixels, or if they are compressed and the transfer syntax says that they are
            not, or the reverse.
    """
    order = "<" if syntax.is_little_endian else ">"
    start = stream.read(8)
    tag = 0
    if start:
        group, element = struct.unpack(f"{order}HH", start[:4])
        tag = group << 16 | element
    if tag != PIXELS:
        kind = UID(str(header.get("SOPClassUID", "")))
        kind_name = kind.name if kind.keyword else "of an unknown class"
        what = "no pixels" if not tag else "floating-point pixels"
        raise ImageError(
            "unsupported", f"The DICOM object ({kind_name}) holds {what}: send one with an image of 8 or 16 bits."
        )
    implicit = header.original_encoding[0]  # some writers use implicit VR even if their transfer syntax is explicit
    length = struct.unpack(f"{order}I", start[4:] if implicit else stream.read(4))[0]
    if (length == UNDEFINED_LENGTH) != syntax.is_encapsulated:
        kinds = ("compressed", "uncompressed")
        said, found = kinds if syntax.is_encapsulated else kinds[::-1]
        raise damaged(
            f"The transfer syntax (0002,0010) of the DICOM file says that the pixels are {said}, and they are {found}"
        )
    return "OW" if implicit else start[4:6].decode("ascii")


def check_complete(header: Dataset) -> None:
    """Check that the elements without which pixels have no meaning are there (PS3.3 C.7.6.3).

    Raises:
        ImageError: with the name and tag of what is missing.
    """
    missing = [keyword for keyword in NEEDED if header.get(keyword) in (None, "")]
    if missing:
        named = ", ".join(f"{keyword} {BaseTag(tag_for_keyword(keyword) or 0)}" for keyword in missing)
        raise damaged(f"The DICOM file does not say {named}")


def check_layout(header: Dataset) -> None:
    """Refuse bit layouts that ophthalmic files do not use and whose meaning is not clear.

    Raises:
        ImageError: if the bits allocated are not 1, 8 or 16, or if the high bit is not the highest stored bit.
    """
    if header.BitsAllocated not in (1, 8, 16):
        raise ImageError(
            "unsupported", f"The DICOM file has {int(header.BitsAllocated)} bits per pixel: send one with 8 or 16."
        )
    if not header.get("HighBit", header.BitsStored - 1) == header.BitsStored - 1 < header.BitsAllocated:
        raise ImageError(
            "unsupported",
            "The high bit (0028,0102) of the DICOM file is not its bits stored (0028,0101) minus one: export it again.",
        )


def laterality(header: Dataset, index: int) -> str | None:
    """Return the eye of a frame: frame laterality, else image laterality (0020,0062), else laterality (0020,0060)."""
    anatomy = functional_group(header, index, "FrameAnatomySequence")
    for place, keyword in ((anatomy, "FrameLaterality"), (header, "ImageLaterality"), (header, "Laterality")):
        value = place.get(keyword) if place is not None else None
        if value:
            return str(value) if value in ("R", "L", "B") else None
    return None


def dicom_kind(header: Dataset) -> DicomKind:
    """Return the modality and the SOP class. What is no code or no UID is left out: it could be anything."""
    modality, sop_class = str(header.get("Modality") or "").strip(), UID(str(header.get("SOPClassUID") or ""))
    return DicomKind(
        modality if re.fullmatch("[A-Z0-9_ ]{1,16}", modality) else None,
        str(sop_class) if re.fullmatch(r"[0-9.]{1,64}", sop_class) else None,
        sop_class.name if sop_class.keyword else None,
    )
