"""From the stored values of a DICOM frame to its display values, at 8 bits (PS3.3 C.11, PS3.4 N.2).

A stored value has at most 16 bits. So the whole transformation is computed once for each possible value, and a look-up
table then turns pixels into brightness. No floating-point image is made.
"""

from typing import Any, NamedTuple

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
        return Image.fromarray(eight_bit(palette(domain, header, little_endian))[unsigned])
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

    A table without values counts as absent, and so does a window that is no number or whose width the standard does
    not allow. Without a VOI LUT and a window the range of the stored bits is shown for 8 bits or fewer, as every viewer
    shows such a picture. Of more bits most pictures use a small part, so the range of the values present is shown,
    without padding. A modality table says its own range.

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
    item = usable_table(modality.get("ModalityLUTSequence"))
    values: NDArray[Any]
    if item is not None:
        table = read_table(item.LUTDescriptor, item.LUTData, little_endian)
        values, ends = table.look_up(domain), np.array([0, 2**table.bits - 1])
    else:
        slope = float(modality.get("RescaleSlope") or 1)
        intercept = float(modality.get("RescaleIntercept") or 0)
        with np.errstate(all="ignore"):  # an absurd slope may overflow; eight_bit refuses the result
            values, ends = domain * slope + intercept, ends * slope + intercept
    voi = functional_group(header, index, "FrameVOILUTSequence") or header
    item = usable_table(voi.get("VOILUTSequence"))
    if item is not None:
        table = read_table(item.LUTDescriptor, item.LUTData, little_endian)
        brightness: Values = table.look_up(np.rint(values).astype(np.int64)) / (2**table.bits - 1)
        return brightness
    function = str(voi.get("VOILUTFunction") or "LINEAR")
    for centre, width in zip(numbers(voi, "WindowCenter"), numbers(voi, "WindowWidth"), strict=False):
        if np.isfinite([centre, width]).all() and (width >= 1 or (width > 0 and function != "LINEAR")):
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


def numbers(item: Dataset, keyword: str) -> list[float]:
    """The alternatives of an element with one value or several; NaN for what is no number.

    The writer of the file prefers the first.
    """
    element = item.get_item(keyword)
    value = None if element is None else element.value
    if isinstance(value, bytes):  # not converted yet: pydicom refuses the whole element if one value is no number
        value = value.decode("latin-1").strip(" \0").split("\\")
    if value is None or value == "":
        return []
    return [number(each) for each in ([value] if isinstance(value, str) else np.atleast_1d(value))]


def number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")


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


class Table(NamedTuple):
    """A look-up table of a DICOM file."""

    entries: NDArray[np.int64]
    lowest: int
    """The value that the first entry is for."""
    bits: int
    """Of an entry: see :func:`entry_bits`."""

    def look_up(self, values: NDArray[Any]) -> Values:
        """The entries for integers. Values beyond the ends get the first or last entry (PS3.3 C.11.1.1.1)."""
        lowest = self.lowest
        if lowest >= 2**15 and values.min() < 0:  # a negative number in an element that holds none
            lowest -= 2**16
        return self.entries[(values - lowest).clip(0, len(self.entries) - 1).astype(np.int64)].astype(np.float64)


def read_table(descriptor: Any, data: Any, little_endian: bool) -> Table:
    """Read a table, whose entries may take a byte or two each.

    Raises:
        ImageError: if the table has fewer entries than its descriptor says, or states less than 8 or more than 16 bits.
    """
    count, lowest = integers(descriptor, 2, little_endian)[:2]
    count = int(count) % 2**16 or 2**16  # 0 means 65,536, which 16 bits can't hold
    if not isinstance(data, bytes) and len(np.atleast_1d(data)) < count:  # two entries in each number
        data, little_endian = integers(data, 2, little_endian).astype("<u2").tobytes(), True
    wide = not isinstance(data, bytes) or len(data) >= 2 * count
    entries = integers(data, 2 if wide else 1, little_endian)[:count] & 0xFFFF
    if len(entries) < count:
        raise damaged("A lookup table of the DICOM file has fewer entries than its descriptor says")
    return Table(entries, int(lowest), entry_bits(table_bits(descriptor), int(entries.max())))


def entry_bits(stated: int, largest: int) -> int:
    """The bits of a table's entries: as stated, unless the largest entry shows that the writer stated other ones.

    So it is where the entry does not fit, or where no entry reaches a sixteenth of the range: the picture would be
    black.
    """
    needed = max(8, largest.bit_length())
    return needed if needed > stated or (0 < largest < 2**stated // 16) else stated


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


def palette(domain: NDArray[np.int64], header: Dataset, little_endian: bool) -> Values:
    """Brightness (0 to 1) of each stored value in red, green and blue (values, 3) (PS3.3 C.7.6.3.1.5)."""
    names = [f"{colour}PaletteColorLookupTable" for colour in ("Red", "Green", "Blue")]
    tables = [
        read_table(header[f"{name}Descriptor"].value, header[f"{name}Data"].value, little_endian) for name in names
    ]
    stated = table_bits(header[f"{names[0]}Descriptor"].value)
    bits = entry_bits(stated, max(int(table.entries.max()) for table in tables))
    colours: Values = np.stack([table.look_up(domain) for table in tables], axis=1) / (2**bits - 1)
    return colours


def padding(domain: NDArray[np.int64], header: Dataset) -> NDArray[np.bool_]:
    """Which stored values are padding, outside the image that the device took (PS3.3 C.7.5.1.1.2)."""
    values = [header.get(keyword) for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit")]
    ends = [int(value) for value in values if isinstance(value, int)]
    if values[0] is None or not ends:
        return np.zeros(len(domain), dtype=bool)
    if header.PixelRepresentation and max(ends) > domain.max():  # negative values in elements that hold none
        ends = [end - len(domain) if end > domain.max() else end for end in ends]
    elif not header.PixelRepresentation:
        ends = [end % len(domain) for end in ends]
    within: NDArray[np.bool_] = (domain >= min(ends)) & (domain <= max(ends))
    return within
