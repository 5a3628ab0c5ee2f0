"""How stored values become brightness, against the standard's formulas and pydicom's own processing."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import uid
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi_lut

from tests.models.preprocessing.dicom_files import dataset, dicom, picture_of, written
from tests.models.preprocessing.image_files import fault_of, noise

ALL_12_BITS = np.arange(4096, dtype=np.uint16).reshape(64, 64)
Array = NDArray[Any]


def by_pydicom(image: Dataset, low: float, high: float) -> Array:
    """Modality, then VOI, then to 8 bits from the range that the result is in."""
    values = apply_voi_lut(apply_modality_lut(image.pixel_array, image), image)
    return np.rint((values - low) / (high - low) * 255)


def item(**elements: Any) -> list[Dataset]:
    made = Dataset()
    for keyword, value in elements.items():
        setattr(made, keyword, value)
    return [made]


def table(entries: Array, first: int, bits: int) -> list[Dataset]:
    return item(LUTDescriptor=[len(entries) % 65536, first, bits], LUTData=entries.astype("<u2").tobytes())


class TestGrey:
    def test_eight_bits_without_more_are_themselves(self) -> None:
        grey = noise(9, 13)
        assert np.array_equal(picture_of(dicom(grey)), grey)

    def test_monochrome1_is_inverted(self) -> None:
        grey = noise(9, 13)
        assert np.array_equal(picture_of(dicom(grey, PhotometricInterpretation="MONOCHROME1")), 255 - grey)

    def test_monochrome1_is_inverted_after_the_window(self) -> None:
        """Inverting first would show the other end of the range (REFERENCE: a complaint about peers)."""
        window: dict[str, Any] = {"bits": 12, "WindowCenter": 1000, "WindowWidth": 400}
        normal = picture_of(dicom(ALL_12_BITS, **window))
        inverted = picture_of(dicom(ALL_12_BITS, PhotometricInterpretation="MONOCHROME1", **window))
        assert np.abs(inverted.astype(int) - (255 - normal.astype(int))).max() <= 1
        assert inverted.ravel()[0] == 255

    @pytest.mark.parametrize(("slope", "intercept"), [(1, 0), (2, -1024), (0.5, 100), (-1, 4095)])
    @pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
    @pytest.mark.parametrize(("centre", "width"), [(600, 1500), (-100, 300.5), (2000, 1)])
    def test_rescale_then_window(
        self, slope: float, intercept: float, function: str, centre: float, width: float
    ) -> None:
        elements: dict[str, Any] = {"RescaleSlope": slope, "RescaleIntercept": intercept, "VOILUTFunction": function}
        image = dataset(ALL_12_BITS, bits=12, WindowCenter=centre, WindowWidth=width, **elements)
        ends = np.array([0, 4095]) * slope + intercept
        with np.errstate(all="ignore"):  # pydicom divides by the width less one
            wanted = by_pydicom(image, *ends)
        wanted[~np.isfinite(wanted)] = 0
        assert np.abs(picture_of(written(image)) - wanted).max() <= 1

    def test_the_window_by_hand(self) -> None:
        """PS3.3 C.11.2.1.2.1, its example: centre 2048, width 4096 spans 0 to 4095; centre 2048, width 1 is a step."""
        full = picture_of(dicom(ALL_12_BITS, bits=12, WindowCenter=2048, WindowWidth=4096)).ravel()
        assert np.abs(full - np.arange(4096) / 4095 * 255).max() <= 0.5
        step = picture_of(dicom(ALL_12_BITS, bits=12, WindowCenter=2048, WindowWidth=1)).ravel()
        assert (step[2047], step[2048]) == (0, 255)

    def test_the_first_of_several_windows(self) -> None:
        several = picture_of(dicom(ALL_12_BITS, bits=12, WindowCenter=[1000, 99], WindowWidth=[400, 10]))
        assert np.array_equal(several, picture_of(dicom(ALL_12_BITS, bits=12, WindowCenter=1000, WindowWidth=400)))

    @pytest.mark.parametrize("syntax", [uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian])
    def test_modality_table(self, syntax: uid.UID) -> None:
        entries = np.random.default_rng(0).integers(0, 65536, 1000)
        image = dataset(ALL_12_BITS, bits=12, ModalityLUTSequence=table(entries, 500, 16))
        wanted = np.rint(entries[(ALL_12_BITS.astype(int) - 500).clip(0, 999)] / 257)
        assert np.array_equal(picture_of(written(image, syntax)), wanted)

    @pytest.mark.parametrize("syntax", [uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian])
    @pytest.mark.parametrize("bits", [8, 10, 16])
    def test_voi_table(self, bits: int, syntax: uid.UID) -> None:
        """With 8 bits, of 4,096 entries too: pydicom 3.0.2 takes their number modulo 256."""
        entries = np.random.default_rng(0).integers(0, 2**bits, 4096)
        image = dataset(ALL_12_BITS, bits=12, VOILUTSequence=table(entries, 0, bits), WindowCenter=1, WindowWidth=1)
        wanted = np.rint(entries[ALL_12_BITS] / (2**bits - 1) * 255)
        assert np.array_equal(picture_of(written(image, syntax)), wanted)

    def test_table_of_bytes(self) -> None:
        entries = noise(1, 256)[0]
        sequence = item(LUTDescriptor=[256, 0, 8], LUTData=entries.tobytes())
        sequence[0]["LUTData"].VR = "OW"
        grey = noise(16, 16)
        assert np.array_equal(picture_of(dicom(grey, VOILUTSequence=sequence)), entries[grey])

    @pytest.mark.parametrize("place", ["own", "shared"])
    def test_windows_of_frames(self, place: str) -> None:
        windows = [item(WindowCenter=1000, WindowWidth=200), item(WindowCenter=3000, WindowWidth=900)]
        scale = item(RescaleSlope=2, RescaleIntercept=0, RescaleType="US")
        frames = np.stack([ALL_12_BITS] * 2)
        groups: dict[str, Any] = {
            "own": {"PerFrameFunctionalGroupsSequence": [item(FrameVOILUTSequence=window)[0] for window in windows]},
            "shared": {"SharedFunctionalGroupsSequence": item(FrameVOILUTSequence=windows[1])},
        }[place]
        shared = groups.setdefault("SharedFunctionalGroupsSequence", item())
        shared[0].PixelValueTransformationSequence = scale
        picture = picture_of(dicom(frames, frames=2, bits=12, **groups), 2)
        wanted = dicom(ALL_12_BITS, bits=12, RescaleSlope=2, RescaleIntercept=0, WindowCenter=3000, WindowWidth=900)
        assert np.array_equal(picture, picture_of(wanted))

    @pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
    @pytest.mark.parametrize("syntax", [uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian])
    def test_padding_is_black(self, photometric: str, syntax: uid.UID) -> None:
        values = np.array([[-2000, -1990, -1989, 0, 1999]], dtype=np.int16)
        image = dataset(values, bits=12, PhotometricInterpretation=photometric)
        image.add_new("PixelPaddingValue", "SS", -2000)
        image.add_new("PixelPaddingRangeLimit", "SS", -1990)
        shown = picture_of(written(image, syntax))[0]
        assert shown[:2].tolist() == [0, 0]
        black, white = (255, 0) if photometric == "MONOCHROME1" else (0, 255)  # the range is that of the image alone
        assert shown[2:].tolist() == [black, abs(black - 127), white]  # 1989 / 3988 of 255 is 127.2


class TestNoWindow:
    """What is shown where the file does not say."""

    @pytest.mark.parametrize(("low", "high"), [(0, 100), (-300, 40), (1000, 1001), (0, 65535), (-32768, 32767)])
    @pytest.mark.parametrize("slope", [1, 0.5, -2])
    def test_more_than_eight_bits_span_the_values_present(self, low: int, high: int, slope: float) -> None:
        values = np.random.default_rng(0).integers(low, high, (9, 13), endpoint=True)
        values.flat[:2] = low, high
        stored = values.astype(np.int16 if low < 0 else np.uint16)
        wanted = (values - low) / (high - low)
        shown = picture_of(dicom(stored, RescaleSlope=slope, RescaleIntercept=7))
        assert np.abs(shown - (wanted if slope > 0 else 1 - wanted) * 255).max() <= 0.5 + 1e-6

    def test_eight_bits_are_shown_as_they_are(self) -> None:
        dark = noise(9, 13) // 8
        assert np.array_equal(picture_of(dicom(dark)), dark)

    def test_each_frame_spans_its_own_values(self) -> None:
        frames = np.stack([np.arange(100).reshape(10, 10), np.arange(100).reshape(10, 10) * 20]).astype(np.uint16)
        first, second = (picture_of(dicom(frames, frames=2), number) for number in (1, 2))
        assert np.array_equal(first, second)

    def test_one_value_alone_is_shown_by_the_range_of_the_bits(self) -> None:
        assert np.unique(picture_of(dicom(np.full((4, 5), 1000, np.uint16), bits=12))).tolist() == [62]

    @pytest.mark.parametrize(
        ("centres", "widths"),
        [([10, 1000], [0, 400]), ([10, 7, 1000], [-3, 0.5, 400])],
        ids=str,
    )
    def test_the_first_usable_window_counts(self, centres: list[float], widths: list[float]) -> None:
        wanted = picture_of(dicom(ALL_12_BITS, bits=12, WindowCenter=1000, WindowWidth=400))
        shown = picture_of(dicom(ALL_12_BITS, bits=12, WindowCenter=centres, WindowWidth=widths))
        assert np.array_equal(shown, wanted)

    def test_empty_elements_are_no_window(self) -> None:
        shown = picture_of(dicom(ALL_12_BITS, bits=12, WindowCenter="", WindowWidth=""))
        assert np.array_equal(shown, picture_of(dicom(ALL_12_BITS, bits=12)))

    @pytest.mark.parametrize("width", [0, -5, 0.5])
    def test_without_a_usable_window_there_is_none(self, width: float) -> None:
        shown = picture_of(dicom(ALL_12_BITS, bits=12, WindowCenter=10, WindowWidth=width))
        assert np.array_equal(shown, picture_of(dicom(ALL_12_BITS, bits=12)))

    def test_a_narrow_window_is_one_where_the_function_allows_it(self) -> None:
        elements: dict[str, Any] = {"WindowCenter": 10, "WindowWidth": 0.5, "VOILUTFunction": "LINEAR_EXACT"}
        shown = picture_of(dicom(ALL_12_BITS, bits=12, **elements)).ravel()
        assert (shown[9], shown[11]) == (0, 255)

    @pytest.mark.parametrize("data", [None, b""])
    @pytest.mark.parametrize("sequence", ["ModalityLUTSequence", "VOILUTSequence"])
    def test_a_table_without_values_is_none(self, sequence: str, data: bytes | None) -> None:
        elements: dict[str, Any] = {sequence: item(LUTDescriptor=[256, 0, 8], LUTData=data)}
        shown = picture_of(dicom(ALL_12_BITS, bits=12, WindowCenter=1000, WindowWidth=400, **elements))
        assert np.array_equal(shown, picture_of(dicom(ALL_12_BITS, bits=12, WindowCenter=1000, WindowWidth=400)))

    def test_the_next_table_with_values_counts(self) -> None:
        entries = np.arange(4096)[::-1] * 16
        tables = [*item(LUTDescriptor=[256, 0, 8], LUTData=b""), *table(entries, 0, 16)]
        shown = picture_of(dicom(ALL_12_BITS, bits=12, VOILUTSequence=tables))
        assert np.array_equal(shown, picture_of(dicom(ALL_12_BITS, bits=12, VOILUTSequence=table(entries, 0, 16))))


class TestMisstated:
    """Tables, windows and padding that are written otherwise than the standard has it."""

    @pytest.mark.parametrize(("stated", "true"), [(16, 8), (16, 12), (8, 16), (12, 16)])
    def test_bits_of_a_table(self, stated: int, true: int) -> None:
        entries = np.arange(4096) ** 2 * (2**true - 1) // 4095**2
        shown = picture_of(dicom(ALL_12_BITS, bits=12, VOILUTSequence=table(entries, 0, stated)))
        assert np.abs(shown.ravel() - entries / (2**true - 1) * 255).max() <= 0.5 + 1e-6

    @pytest.mark.parametrize("sequence", ["VOILUTSequence", "ModalityLUTSequence"])
    def test_a_negative_first_value_as_an_unsigned_one(self, sequence: str) -> None:
        stored = ALL_12_BITS.astype(np.int16) - 2048
        made = Dataset()
        made.add_new("LUTDescriptor", "US", [4096, 65536 - 2048, 12])
        made.add_new("LUTData", "OW", np.arange(4096)[::-1].astype("<u2").tobytes())
        image = dataset(stored, bits=12)
        image[sequence] = DataElement(sequence, "SQ", [made])
        shown = picture_of(written(image)).ravel()
        assert np.abs(shown - np.arange(4096)[::-1] * 255 / 4095).max() <= 0.5 + 1e-6

    @pytest.mark.parametrize("first", ["", "NaN", "inf", "x"])
    def test_a_window_that_is_no_number(self, first: str) -> None:
        data = dicom(ALL_12_BITS, bits=12, WindowCenter="11111111", WindowWidth="22222222")
        for mark, rest in ((b"11111111", "1000"), (b"22222222", "400")):
            data = data.replace(mark, rf"{first}\{rest}".ljust(8).encode())
        wanted = picture_of(dicom(ALL_12_BITS, bits=12, WindowCenter=1000, WindowWidth=400))
        assert np.array_equal(picture_of(data), wanted)

    @pytest.mark.parametrize(("dtype", "value", "vr", "stated"), [("i2", -2000, "US", 63536), ("u2", 65535, "SS", -1)])
    def test_padding_of_the_other_sign(self, dtype: str, value: int, vr: str, stated: int) -> None:
        stored = np.array([[value, 100, 200, 300]], dtype)
        image = dataset(stored)
        image.add_new("PixelPaddingValue", vr, stated)
        assert picture_of(written(image)).tolist() == [[0, 0, 128, 255]]

    def test_a_palette_of_16_bits_that_holds_8(self) -> None:
        indices = noise(16, 16)
        elements: dict[str, Any] = {}
        for number, colour in enumerate(("Red", "Green", "Blue")):
            elements[f"{colour}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
            elements[f"{colour}PaletteColorLookupTableData"] = np.roll(np.arange(256), number).astype("<u2").tobytes()
        shown = picture_of(dicom(indices, PhotometricInterpretation="PALETTE COLOR", **elements))
        assert np.array_equal(shown, np.stack([indices, indices - np.uint8(1), indices - np.uint8(2)], axis=2))


class TestColour:
    @pytest.mark.parametrize("syntax", [uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian])
    @pytest.mark.parametrize("bits", [8, 16])
    def test_palette(self, bits: int, syntax: uid.UID) -> None:
        chance, indices = np.random.default_rng(0), noise(16, 16)
        image = dataset(indices, PhotometricInterpretation="PALETTE COLOR")
        for colour in ("Red", "Green", "Blue"):
            entries = chance.integers(0, 2**bits, 200).astype(f"<u{bits // 8}")
            image.add_new(f"{colour}PaletteColorLookupTableDescriptor", "US", [200, 20, bits])
            image.add_new(f"{colour}PaletteColorLookupTableData", "OW", entries.tobytes())
        wanted = np.rint(apply_color_lut(indices, image) / (2**bits - 1) * 255)
        assert np.array_equal(picture_of(written(image, syntax)), wanted)

    def test_ybr_full(self) -> None:
        """PS3.3 C.7.6.3.1.2: pure colours and greys, whose conversion is known by heart."""
        ybr = np.array([[[0, 128, 128], [255, 128, 128], [76, 85, 255], [150, 44, 21], [29, 255, 107]]], dtype=np.uint8)
        rgb = np.array([[[0, 0, 0], [255, 255, 255], [254, 0, 0], [0, 255, 1], [0, 0, 254]]])
        shown = picture_of(dicom(ybr, PhotometricInterpretation="YBR_FULL")).astype(int)
        assert np.abs(shown - rgb).max() <= 1

    def test_a_window_does_not_touch_colours(self) -> None:
        colour = noise(5, 7, 3)
        assert np.array_equal(picture_of(dicom(colour, WindowCenter=10, WindowWidth=5)), colour)


@pytest.mark.parametrize(
    ("elements", "fault"),
    [
        ({"PhotometricInterpretation": "CMYK"}, "unsupported"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "unsupported"),
        ({"WindowCenter": 10, "WindowWidth": 5, "VOILUTFunction": "CUBIC"}, "damaged"),
        ({"RescaleSlope": "1e400", "RescaleIntercept": 0}, "damaged"),
        ({"VOILUTSequence": item(LUTDescriptor=[256, 0, 8], LUTData=b"12")}, "damaged"),
        ({"VOILUTSequence": item(LUTDescriptor=[1, 0, 3], LUTData=b"12")}, "damaged"),
        ({"HighBit": 9, "BitsStored": 8}, "unsupported"),
        ({"BitsStored": 12, "HighBit": 11}, "unsupported"),
        ({"BitsAllocated": 32, "BitsStored": 32, "HighBit": 31}, "unsupported"),
    ],
    ids=str,
)
def test_what_has_no_meaning(elements: dict[str, Any], fault: str) -> None:
    assert fault_of(dicom(noise(4, 6), **elements)) == fault
