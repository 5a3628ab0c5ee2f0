"""From the stored values of a DICOM frame to its display values, at 8 bits (PS3.3 C.11, PS3.4 N.2).

A stored value has at most 16 bits. So the whole transformation is computed once for each possible value, and a look-up
table then turns pixels into brightness. No floating-point image is made.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset

from models.preprocessing.faults import ImageError, damaged

Values = NDArray[np.float64]


def functional_group(header: Dataset, index: int, macro: str) -> Dataset | None:
    """Return the item of a functional group macro for a frame: its own or the shared one (PS3.3 C.7.6.16)."""
    own = header.get("PerFrameFunctionalGroupsSequence") or []
    for groups in (*own[index : index + 1], *(header.get("SharedFunctionalGroupsSequence") or [])[:1]):
        if groups.get(macro):
            item: Dataset = groups[macro].value[0]
            return item
    return None


def as_eight_bit(
    pixels: NDArray[Any], photometric: str, header: Dataset, index: int, little_endian: bool
) -> Image.Image:
    """Turn the stored values of a frame (rows, columns[, 3]) into a picture in mode L or RGB.

    Raises:
        ImageError: for an unsupported photometric interpretation.
    """
    stored = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    unsigned = stored.view(f"u{stored.itemsize}")
    domain = np.arange(2 ** (8 * stored.itemsize)).astype(unsigned.dtype).view(stored.dtype).astype(np.int64)
    bits = int(header.BitsStored)
    if photometric in ("MONOCHROME1", "MONOCHROME2"):
        outside = padding(domain, header)
        shown = np.zeros(len(domain), dtype=bool)
        shown[unsigned] = True
        brightness = grey(domain, domain[shown & ~outside], header, index, little_endian)
        if photometric == "MONOCHROME1":
            brightness = 1 - brightness
        brightness[outside] = 0
        return Image.fromarray(eight_bit(brightness)[unsigned])
    if photometric == "RGB":
        return Image.fromarray(unsigned if bits == 8 else eight_bit(domain / (2**bits - 1))[unsigned])
    if photometric == "PALETTE COLOR" and "RedPaletteColorLookupTableData" in header:
        colours = [palette(domain, header, colour, little_endian) for colour in ("Red", "Green", "Blue")]
        return Image.fromarray(eight_bit(np.stack(colours, axis=1))[unsigned])
    raise ImageError(
        "unsupported",
        "The photometric interpretation (0028,0004) of the DICOM file is not supported: export it as MONOCHROME1, "
        "MONOCHROME2, RGB, YBR_FULL, YBR_FULL_422, YBR_ICT, YBR_RCT or PALETTE COLOR with plain tables.",
    )


def eight_bit(brightness: Values) -> NDArray[np.uint8]:
    if not np.isfinite(brightness).all():
        raise damaged("The rescale slope (0028,1053) or intercept (0028,1052) of the DICOM file gives no finite values")
    levels: NDArray[np.uint8] = np.rint(brightness.clip(0, 1) * 255).astype(np.uint8)
    return levels


def grey(
    domain: NDArray[np.int64], present: NDArray[np.int64], header: Dataset, index: int, little_endian: bool
) -> Values:
    """Brightness (0 to 1) of each stored value: the modality transformation, then the first usable VOI LUT or window.

    A table without values and a window whose width the standard does not allow count as absent. Without a VOI LUT and
    a window the range of the stored bits is shown for 8 bits or fewer, as every viewer shows such a picture. Of more
    bits most pictures use a small part, so the range of the values present is shown, without padding. A modality
    table says its own range.

    Args:
        domain: every stored value that the bits allocated can hold.
        present: the stored values of this frame.
        header: of the file.
        index: of the frame, counted from 0.
        little_endian: how the file stores tables.
    """
    bits, signed = int(header.BitsStored), bool(header.PixelRepresentation)
    ends: NDArray[Any] = np.array([-(2 ** (bits - 1)), 2 ** (bits - 1) - 1] if signed else [0, 2**bits - 1])
    if bits > 8 and len(present) > 1:
        ends = np.array([present.min(), present.max()])
    modality = functional_group(header, index, "PixelValueTransformationSequence") or header
    table = usable_table(modality.get("ModalityLUTSequence"))
    values: NDArray[Any]
    if table is not None:
        values = look_up(domain, table.LUTDescriptor, table.LUTData, little_endian)
        ends = np.array([0, 2 ** table_bits(table.LUTDescriptor) - 1])
    else:
        slope = float(modality.get("RescaleSlope") or 1)
        intercept = float(modality.get("RescaleIntercept") or 0)
        with np.errstate(all="ignore"):  # an absurd slope may overflow; eight_bit refuses the result
            values, ends = domain * slope + intercept, ends * slope + intercept
    voi = functional_group(header, index, "FrameVOILUTSequence") or header
    table = usable_table(voi.get("VOILUTSequence"))
    if table is not None:
        entries = look_up(np.rint(values).astype(np.int64), table.LUTDescriptor, table.LUTData, little_endian)
        brightness: Values = entries / (2 ** table_bits(table.LUTDescriptor) - 1)
        return brightness
    function = str(voi.get("VOILUTFunction") or "LINEAR")
    for centre, width in zip(numbers(voi.get("WindowCenter")), numbers(voi.get("WindowWidth")), strict=False):
        if width >= 1 or (width > 0 and function != "LINEAR"):
            return window(values, centre, width, function)
    with np.errstate(all="ignore"):
        full_range: Values = (values - ends.min()) / np.ptp(ends)
    return full_range


def usable_table(sequence: Any) -> Dataset | None:
    """The first item of a sequence of tables that has values."""
    for item in sequence or []:
        if item.get("LUTDescriptor") and item.get("LUTData") is not None and len(item.LUTData):
            found: Dataset = item
            return found
    return None


def numbers(value: Any) -> list[float]:
    """The alternatives of an element with one value or several. The writer of the file prefers the first."""
    if value is None or value == "":
        return []
    return [float(each) for each in (value if hasattr(value, "__iter__") else [value])]


def window(values: NDArray[Any], centre: float, width: float, function: str) -> Values:
    """Brightness (0 to 1) through a window (PS3.3 C.11.2.1.2 and C.11.2.1.3).

    ``width`` is above 0, and 1 or more for ``LINEAR``.

    Raises:
        ImageError: for a function that the standard does not have.
    """
    if function == "SIGMOID":
        curve: Values = 1 / (1 + np.exp((-4 * (values - centre) / width).clip(-500, 500)))
        return curve
    if function == "LINEAR":
        centre, width = centre - 0.5, width - 1
    elif function != "LINEAR_EXACT":
        raise damaged("The VOI LUT function (0028,1056) of the DICOM file is none of LINEAR, LINEAR_EXACT and SIGMOID")
    if width == 0:
        return (values > centre).astype(np.float64)
    line: Values = ((values - centre) / width + 0.5).clip(0, 1)
    return line


def look_up(values: NDArray[Any], descriptor: Any, data: Any, little_endian: bool) -> Values:
    """Look integers up in a table. Values beyond its ends get its first or last entry (PS3.3 C.11.1.1.1).

    Raises:
        ImageError: if the table has fewer entries than its descriptor says.
    """
    entries, lowest = integers(descriptor, 2, little_endian)[:2]
    entries = int(entries) % 2**16 or 2**16  # 0 means 65,536, which 16 bits can't hold
    wide = not isinstance(data, bytes) or len(data) >= 2 * entries
    table = integers(data, 2 if wide else 1, little_endian)
    if len(table) < entries:
        raise damaged("A lookup table of the DICOM file has fewer entries than its descriptor says")
    return table[(values - int(lowest)).clip(0, entries - 1).astype(np.int64)].astype(np.float64)


def integers(value: Any, size: int, little_endian: bool) -> NDArray[np.int64]:
    """Return an element as integers. Depending on its value representation, it is stored as numbers or as bytes."""
    if isinstance(value, bytes):
        value = np.frombuffer(value[: len(value) // size * size], f"{'<' if little_endian else '>'}u{size}")
    return np.atleast_1d(np.asarray(value, dtype=np.int64))


def table_bits(descriptor: Any) -> int:
    """Return the number of bits of the entries of a table.

    Raises:
        ImageError: if it is not 8 to 16.
    """
    bits = int(integers(descriptor, 2, True)[2])
    if not 8 <= bits <= 16:
        raise damaged(f"A lookup table of the DICOM file has {bits} bits an entry, and the standard allows 8 to 16")
    return bits


def palette(domain: NDArray[np.int64], header: Dataset, colour: str, little_endian: bool) -> Values:
    """Brightness (0 to 1) of each stored value in one colour (PS3.3 C.7.6.3.1.5)."""
    name = f"{colour}PaletteColorLookupTable"
    descriptor, data = header[f"{name}Descriptor"].value, header[f"{name}Data"].value
    entries: Values = look_up(domain, descriptor, data, little_endian) / (2 ** table_bits(descriptor) - 1)
    return entries


def padding(domain: NDArray[np.int64], header: Dataset) -> NDArray[np.bool_]:
    """Which stored values are padding, outside the image that the device took (PS3.3 C.7.5.1.1.2)."""
    values = [header.get(keyword) for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit")]
    ends = [int(value) for value in values if isinstance(value, int)]
    if values[0] is None or not ends:
        return np.zeros(len(domain), dtype=bool)
    within: NDArray[np.bool_] = (domain >= min(ends)) & (domain <= max(ends))
    return within
