"""Every transfer syntax that is read, against what was encoded and against other decoders of the same files."""

import io
import subprocess
from pathlib import Path
from shutil import which
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread, uid
from pydicom.encaps import encapsulate, encapsulate_extended, generate_frames
from pydicom.uid import UID

from models.preprocessing import dicom_codecs
from models.preprocessing.dicom_rle import decode_rle
from tests.models.preprocessing.dicom_files import bundled, dataset, dicom, picture_of, written
from tests.models.preprocessing.image_files import encode, fault_of, noise, smooth

LOSSLESS = (
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.RLELossless,
    uid.JPEGLSLossless,
    uid.JPEG2000Lossless,
)
each_lossless = pytest.mark.parametrize("syntax", LOSSLESS, ids=lambda syntax: syntax.keyword)


class TestLossless:
    @each_lossless
    def test_grey(self, syntax: UID) -> None:
        grey = noise(40, 45)
        assert np.array_equal(picture_of(dicom(grey, syntax)), grey)

    @each_lossless
    @pytest.mark.parametrize("bits", [10, 16])
    def test_deep_grey(self, syntax: UID, bits: int) -> None:
        values = np.random.default_rng(bits).integers(0, 2**bits, (40, 45)).astype(np.uint16)
        values.flat[:2] = 0, 2**bits - 1  # without a window the values present span black to white
        wanted = np.rint(values * (255 / (2**bits - 1)))
        assert np.array_equal(picture_of(dicom(values, syntax, bits=bits)), wanted)

    @each_lossless
    def test_signed(self, syntax: UID) -> None:
        values = np.random.default_rng(0).integers(-2048, 2048, (40, 45)).astype(np.int16)
        values.flat[:2] = -2048, 2047
        wanted = np.rint((values + 2048.0) * (255 / 4095))
        assert np.array_equal(picture_of(dicom(values, syntax, bits=12)), wanted)

    @each_lossless
    def test_colour(self, syntax: UID) -> None:
        colour = noise(40, 45, 3)
        transformed = {"PhotometricInterpretation": "YBR_RCT"} if syntax == uid.JPEG2000Lossless else {}
        assert np.array_equal(picture_of(dicom(colour, syntax, **transformed)), colour)

    def test_deep_colour(self) -> None:
        values = np.random.default_rng(0).integers(0, 65536, (40, 45, 3)).astype(np.uint16)
        for syntax in (uid.ExplicitVRLittleEndian, uid.RLELossless):
            assert np.array_equal(picture_of(dicom(values, syntax)), np.rint(values / 257))

    def test_big_endian(self) -> None:
        values = (np.arange(40 * 45).reshape(40, 45) * 36).astype(">u2")
        wanted = np.rint(values.astype(float) * (255 / values.max()))
        assert np.array_equal(picture_of(dicom(values, uid.ExplicitVRBigEndian)), wanted)

    def test_planes(self) -> None:
        colour = noise(6, 9, 3)
        image = dataset(colour, PlanarConfiguration=1)
        image.PixelData = np.moveaxis(colour, 2, 0).tobytes()
        assert np.array_equal(picture_of(written(image)), colour)

    def test_one_bit(self) -> None:
        bits = noise(8, 16) > 127
        image = dataset(noise(8, 16), BitsAllocated=1, BitsStored=1, HighBit=0)
        image.PixelData = np.packbits(bits, bitorder="little").tobytes()
        assert np.array_equal(picture_of(written(image)), bits * 255)


class TestFrames:
    @each_lossless
    def test_each_frame(self, syntax: UID) -> None:
        frames = noise(5, 40, 45)
        data = dicom(frames, syntax, frames=5)
        for number in range(1, 6):
            assert np.array_equal(picture_of(data, number), frames[number - 1])

    @pytest.mark.parametrize("table", ["basic", "extended", "none"])
    def test_each_way_to_find_one(self, table: str) -> None:
        pictures = [smooth(40, 48, seed) for seed in range(3)]
        codestreams = [encode(picture, "JPEG", quality=95) for picture in pictures]
        image = dataset(np.stack(pictures), frames=3, PhotometricInterpretation="YBR_FULL_422")
        if table == "extended":
            image.PixelData, image.ExtendedOffsetTable, image.ExtendedOffsetTableLengths = encapsulate_extended(
                codestreams
            )
        else:
            image.PixelData = encapsulate(codestreams, fragments_per_frame=2, has_bot=table == "basic")
        data = written(image, uid.JPEGBaseline8Bit)
        for number, picture in enumerate(pictures, start=1):
            assert np.abs(picture_of(data, number).astype(int) - picture).mean() < 2

    def test_a_volume_is_not_decoded_whole(self, monkeypatch: pytest.MonkeyPatch) -> None:
        decoded: list[bytes] = []
        real = decode_rle

        def spy(frame: bytes, *options: Any) -> Any:
            decoded.append(frame)
            return real(frame, *options)

        monkeypatch.setattr(dicom_codecs, "decode_rle", spy)
        picture_of(dicom(noise(50, 40, 45), uid.RLELossless, frames=50), 31)
        assert len(decoded) == 1

    def test_two_thousand_million_frames_take_no_memory(self) -> None:
        """As their number says; there are two."""
        frames = noise(2, 40, 45)
        data = dicom(frames, frames=2**31 - 1)
        assert np.array_equal(picture_of(data, 2), frames[1])
        assert fault_of(data) == "damaged"  # the middle one is not there


class TestJpeg:
    @pytest.mark.parametrize("photometric", ["YBR_FULL_422", "YBR_FULL"])
    @pytest.mark.parametrize("subsampling", [0, 1, 2])
    def test_baseline_equals_pillow(self, photometric: str, subsampling: int) -> None:
        """Of the same file outside DICOM; one step apart where the colours are converted in another library."""
        codestream = encode(smooth(40, 48), "JPEG", quality=95, subsampling=subsampling)
        image = dataset(smooth(40, 48), PhotometricInterpretation=photometric)
        image.PixelData = encapsulate([codestream])
        wanted = np.asarray(Image.open(io.BytesIO(codestream))).astype(int)
        assert np.abs(picture_of(written(image, uid.JPEGBaseline8Bit)) - wanted).max() <= 2

    @pytest.mark.parametrize("marked", [True, False], ids=["Adobe's marker", "names alone"])
    def test_colours_that_are_not_converted(self, marked: bool) -> None:
        """Components named R, G and B are what they say, with Adobe's marker (APP14, 16 bytes) and without."""
        pixels = smooth(40, 48)
        codestream = encode(pixels, "JPEG", quality=97, subsampling=0, keep_rgb=True)
        assert codestream[2:4] == b"\xff\xee"
        image = dataset(pixels)
        image.PixelData = encapsulate([codestream if marked else codestream[:2] + codestream[18:]])
        assert np.abs(picture_of(written(image, uid.JPEGBaseline8Bit)).astype(int) - pixels).mean() < 1

    def test_lossless_colour(self) -> None:
        """pydicom's file, whose every copy has these colours: SC_rgb_rle.dcm holds the same, uncompressed by rows."""
        assert np.array_equal(picture_of(bundled("SC_rgb_jpeg_gdcm.dcm")), picture_of(bundled("SC_rgb_rle.dcm")))

    def test_twelve_bits_need_the_extra(self, monkeypatch: pytest.MonkeyPatch) -> None:
        data = bundled("JPGExtended.dcm")
        monkeypatch.setattr(dicom_codecs, "find_spec", lambda name: None)
        assert fault_of(data) == "unsupported"

    def test_twelve_bits(self) -> None:
        """Two values that pydicom's own tests give for this file, of 4,095."""
        image = dcmread(io.BytesIO(bundled("JPGExtended.dcm")))
        image.WindowCenter, image.WindowWidth = 2048, 4096
        picture = picture_of(written(image, image.file_meta.TransferSyntaxUID))
        assert (picture[420, 140], picture[230, 120]) == (round(244 / 4095 * 255), round(95 / 4095 * 255))

    def test_a_last_coefficient_of_0_is_read_as_63(self) -> None:
        """T.81 B.2.3 allows a sequential scan 63 alone; some writers leave 0."""
        whole = bundled("JPGExtended.dcm")
        scan = whole.index(b"\xff\xda\0\x08\x01")
        assert whole[scan + 8] == 63
        assert np.array_equal(picture_of(whole[: scan + 8] + b"\0" + whole[scan + 9 :]), picture_of(whole))


class TestJpegLs:
    def test_a_zero_before_the_end_is_passed_over(self) -> None:
        values = noise(40, 45)
        image = dataset(values)
        image.compress(uid.JPEGLSLossless, generate_instance_uid=False)
        frame = generate_frames(image.PixelData, number_of_frames=1)
        [codestream] = frame
        plain = codestream.rstrip(b"\0")
        assert plain.endswith(b"\xff\xd9")
        image.PixelData = encapsulate([plain[:-2] + b"\0\xff\xd9"])
        assert np.array_equal(picture_of(written(image, uid.JPEGLSLossless)), values)


BUNDLED = {
    "CT_small.dcm": "-W",
    "ExplVR_BigEnd.dcm": "-W",
    "JPGExtended.dcm": "-W",
    "MR_small.dcm": "+Wi 1",
    "MR_small_RLE.dcm": "+Wi 1",
    "MR_small_bigendian.dcm": "+Wi 1",
    "MR_small_implicit.dcm": "+Wi 1",
    "SC_jpeg_no_color_transform_2.dcm": "-W",
    "SC_rgb_dcmtk_+eb+cr.dcm": "-W",
    "SC_rgb_dcmtk_+eb+cy+np.dcm": "-W",
    "SC_rgb_dcmtk_+eb+cy+s4.dcm": "-W",
    "SC_rgb_jpeg_dcmd.dcm": "-W",
    "SC_rgb_jpeg_gdcm.dcm": "-W",
    "SC_rgb_rle_16bit.dcm": "-W",
    "SC_rgb_small_odd.dcm": "-W",
    "SC_ybr_full_422_uncompressed.dcm": "-W",
    "examples_palette.dcm": "-W",
    "examples_ybr_color.dcm": "+F 15 -W",
}
"""Real devices' and writers' files, and the options that make dcmtk show one as it asks for."""


@pytest.mark.skipif(which("dcm2pnm") is None, reason="dcmtk is not installed")
@pytest.mark.parametrize("name", BUNDLED)
def test_looks_as_dcmtk_shows_it(name: str, tmp_path: Path) -> None:
    source, shown = tmp_path / "image.dcm", tmp_path / "image.png"
    source.write_bytes(bundled(name))
    command = ["dcmj2pnm", *BUNDLED[name].split(), "+on", str(source), str(shown)]
    subprocess.run(command, check=True, capture_output=True)
    wanted = np.asarray(Image.open(shown)).astype(int)
    assert np.abs(picture_of(source.read_bytes()) - wanted).max() <= 1
