"""From the stored values of a DICOM frame to its display values, at 8 bits (PS3.3 C.11, PS3.4 N.2).

A stored value has at most 16 bits. So the whole transformation is computed once for each possible value, and a look-up
table then turns pixels into brightness. No floating-point image is made.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset

from models.preprocessing.faults import ImageError

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
        brightness = grey(domain, header, index, little_endian)
        if photometric == "MONOCHROME1":
            brightness = 1 - brightness
        brightness[padding(domain, header)] = 0
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
        raise ValueError("a transformation without a finite result")
    levels: NDArray[np.uint8] = np.rint(brightness.clip(0, 1) * 255).astype(np.uint8)
    return levels


def grey(domain: NDArray[np.int64], header: Dataset, index: int, little_endian: bool) -> Values:
    """Brightness (0 to 1) of each stored value: the modality transformation, then the first VOI LUT or window.

    Without a VOI LUT and a window, the whole range of the stored bits is shown, even if a picture uses less of it.
    """
    bits, signed = int(header.BitsStored), bool(header.PixelRepresentation)
    values: NDArray[Any]
    ends: NDArray[Any] = np.array([-(2 ** (bits - 1)), 2 ** (bits - 1) - 1] if signed else [0, 2**bits - 1])
    modality = functional_group(header, index, "PixelValueTransformationSequence") or header
    if modality.get("ModalityLUTSequence"):
        item = modality.ModalityLUTSequence[0]
        depth = table_bits(item.LUTDescriptor)
        values, ends = look_up(domain, item.LUTDescriptor, item.LUTData, little_endian), np.array([0, 2**depth - 1])
    else:
        slope = float(modality.get("RescaleSlope") or 1)
        intercept = float(modality.get("RescaleIntercept") or 0)
        with np.errstate(all="ignore"):  # an absurd slope may overflow; eight_bit refuses the result
            values, ends = domain * slope + intercept, ends * slope + intercept
    voi = functional_group(header, index, "FrameVOILUTSequence") or header
    if voi.get("VOILUTSequence"):
        item = voi.VOILUTSequence[0]
        entries = look_up(np.rint(values).astype(np.int64), item.LUTDescriptor, item.LUTData, little_endian)
        brightness: Values = entries / (2 ** table_bits(item.LUTDescriptor) - 1)
        return brightness
    if voi.get("WindowWidth") is not None and voi.get("WindowCenter") is not None:
        return window(
            values, first(voi.WindowCenter), first(voi.WindowWidth), str(voi.get("VOILUTFunction") or "LINEAR")
        )
    with np.errstate(all="ignore"):
        full_range: Values = (values - ends.min()) / np.ptp(ends)
    return full_range


def first(value: Any) -> float:
    """Return the first of several alternatives. The writer of the file prefers it."""
    return float(value[0] if hasattr(value, "__getitem__") else value)


def window(values: NDArray[Any], centre: float, width: float, function: str) -> Values:
    """Brightness (0 to 1) through a window (PS3.3 C.11.2.1.2 and C.11.2.1.3).

    Raises:
        ValueError: for a width or a function that the standard does not allow.
    """
    if width <= 0 or (width < 1 and function == "LINEAR"):
        raise ValueError("window width")
    if function == "SIGMOID":
        curve: Values = 1 / (1 + np.exp((-4 * (values - centre) / width).clip(-500, 500)))
        return curve
    if function == "LINEAR":
        centre, width = centre - 0.5, width - 1
    elif function != "LINEAR_EXACT":
        raise ValueError("VOI LUT function")
    if width == 0:
        return (values > centre).astype(np.float64)
    line: Values = ((values - centre) / width + 0.5).clip(0, 1)
    return line


def look_up(values: NDArray[Any], descriptor: Any, data: Any, little_endian: bool) -> Values:
    """Look integers up in a table. Values beyond its ends get its first or last entry (PS3.3 C.11.1.1.1).

    Raises:
        ValueError: if the table has fewer entries than its descriptor says.
    """
    entries, lowest = integers(descriptor, 2, little_endian)[:2]
    entries = int(entries) % 2**16 or 2**16  # 0 means 65,536, which 16 bits can't hold
    wide = not isinstance(data, bytes) or len(data) >= 2 * entries
    table = integers(data, 2 if wide else 1, little_endian)
    if len(table) < entries:
        raise ValueError("entries of a table")
    return table[(values - int(lowest)).clip(0, entries - 1).astype(np.int64)].astype(np.float64)


def integers(value: Any, size: int, little_endian: bool) -> NDArray[np.int64]:
    """Return an element as integers. Depending on its value representation, it is stored as numbers or as bytes."""
    if isinstance(value, bytes):
        value = np.frombuffer(value[: len(value) // size * size], f"{'<' if little_endian else '>'}u{size}")
    return np.atleast_1d(np.asarray(value, dtype=np.int64))


def table_bits(descriptor: Any) -> int:
    """Return the number of bits of the entries of a table.

    Raises:
        ValueError: if it is not 8 to 16.
    """
    bits = int(integers(descriptor, 2, True)[2])
    if not 8 <= bits <= 16:
        raise ValueError("bits of a table")
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
