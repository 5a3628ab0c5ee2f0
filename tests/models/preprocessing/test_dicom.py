"""What is read of a DICOM file and what is refused, and that nothing of the patient is in the words about it."""

import logging
import random
import subprocess
import sys
import zlib
from typing import Any

import numpy as np
import pytest
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate

from models.card import InputSpec
from models.preprocessing import ImageError, preprocess
from tests.models.preprocessing.corpus import VALID
from tests.models.preprocessing.dicom_files import TOMOGRAPHY, bundled, dataset, dicom, picture_of, written
from tests.models.preprocessing.identified import MARKER, marked
from tests.models.preprocessing.image_files import encode, fault_of, noise, spec_for


def result(data: bytes, frame: int | None = None) -> Any:
    return preprocess(data, spec_for(8, 8), frame=frame)


def words_about(data: bytes) -> str:
    """What preprocessing answers, its errors' causes included."""
    try:
        return repr(result(data)._replace(pixels=None))
    except ImageError as error:
        return f"{error!r} {error.__cause__!r} {None if error.__suppress_context__ else error.__context__!r}"


class TestFrames:
    @pytest.mark.parametrize(("frames", "middle"), [(1, 1), (2, 1), (3, 2), (4, 2), (5, 3)])
    def test_the_middle_one_without_a_number(self, frames: int, middle: int) -> None:
        volume = noise(frames, 9, 11)
        data = dicom(volume, frames=frames, SOPClassUID=TOMOGRAPHY)
        assert result(data).frame == middle
        assert np.array_equal(picture_of(data), volume[middle - 1])

    def test_counted_from_one(self) -> None:
        volume = noise(3, 9, 11)
        data = dicom(volume, frames=3)
        for number in (1, 2, 3):
            assert np.array_equal(picture_of(data, number), volume[number - 1])
            assert result(data, number).frame == number

    @pytest.mark.parametrize("number", [0, -1, 4, 2**31])
    def test_one_that_is_not_there(self, number: int) -> None:
        assert fault_of(dicom(noise(3, 9, 11), frames=3), frame=number) == "frame"

    def test_says_how_many_there_are(self) -> None:
        with pytest.raises(ImageError, match="has 3"):
            result(dicom(noise(3, 9, 11), frames=3), 7)

    def test_of_a_file_without_their_number(self) -> None:
        assert result(dicom(noise(9, 11)), 1).frame == 1
        assert fault_of(dicom(noise(9, 11)), frame=2) == "frame"


class TestFacts:
    def test_size_and_format(self) -> None:
        facts = result(dicom(noise(9, 11)))
        assert (facts.width, facts.height, facts.format) == (11, 9, "DICOM")

    def test_the_input_is_the_picture_fitted(self) -> None:
        colour = noise(20, 30, 3)
        spec = InputSpec(height=8, width=8, channels=3)
        assert np.array_equal(preprocess(dicom(colour), spec).pixels, preprocess(encode(colour, "PNG"), spec).pixels)

    @pytest.mark.parametrize(
        ("elements", "eye"),
        [
            ({}, None),
            ({"ImageLaterality": "R"}, "R"),
            ({"ImageLaterality": "B"}, "B"),
            ({"Laterality": "L"}, "L"),
            ({"ImageLaterality": "L", "Laterality": "R"}, "L"),
            ({"ImageLaterality": "", "Laterality": "R"}, "R"),
            ({"ImageLaterality": "U"}, None),
            ({"ImageLaterality": "SOMETHING"}, None),
        ],
        ids=str,
    )
    def test_laterality(self, elements: dict[str, Any], eye: str | None) -> None:
        assert result(dicom(noise(9, 11), **elements)).laterality == eye

    def test_laterality_of_a_frame(self) -> None:
        sides = []
        for side in ("R", "L"):
            anatomy, group = Dataset(), Dataset()
            anatomy.FrameLaterality = side
            group.FrameAnatomySequence = [anatomy]
            sides.append(group)
        data = dicom(noise(2, 9, 11), frames=2, PerFrameFunctionalGroupsSequence=sides, ImageLaterality="B")
        assert [result(data, number).laterality for number in (1, 2)] == ["R", "L"]

    @pytest.mark.parametrize("syntax", [uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian])
    def test_without_preamble(self, syntax: uid.UID) -> None:
        grey = noise(9, 12)
        data = written(dataset(grey), syntax)[132:]
        assert np.array_equal(picture_of(data), grey)
        bare = written(dataset(grey), syntax, preamble=False)
        assert b"DICM" not in bare
        assert np.array_equal(picture_of(bare), grey)

    def test_with_a_tiff_in_its_preamble(self) -> None:
        """Files that are both are common in pathology: the DICOM part is what states the pixels' meaning."""
        grey = noise(9, 12)
        data = dicom(grey)
        assert np.array_equal(picture_of(b"II*\0" + data[4:]), grey)


class TestRefused:
    def test_deflated_however_little_it_expands(self) -> None:
        assert fault_of(bundled("image_dfl.dcm")) == "unsupported"

    def test_deflated_is_not_expanded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(zlib, "decompress", lambda *_, **__: pytest.fail("expanded"))
        assert fault_of(bundled("image_dfl.dcm")) == "unsupported"

    @pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.4.102", "1.2.840.10008.1.2.4.94", "1.2.3.4", MARKER])
    def test_other_transfer_syntaxes(self, syntax: str) -> None:
        data = dicom(noise(9, 12))
        known = str(uid.ExplicitVRLittleEndian).encode()
        head, tail = data.split(b"\x02\x00\x10\x00UI", 1)
        padded = syntax.encode() + b"\0" * (len(syntax) % 2)
        element = b"\x02\x00\x10\x00UI" + len(padded).to_bytes(2, "little") + padded
        changed = head + element + tail[2 + len(known) + len(known) % 2 :]
        with pytest.raises(ImageError, match="transfer syntax") as caught:
            result(changed)
        assert caught.value.fault == "unsupported"
        assert MARKER not in str(caught.value)

    def test_no_pixels(self) -> None:
        with pytest.raises(ImageError, match="no pixels") as caught:
            result(bundled("test-SR.dcm"))
        assert caught.value.fault == "unsupported"

    def test_a_pdf(self) -> None:
        document = dataset(noise(2, 2), SOPClassUID=uid.EncapsulatedPDFStorage, EncapsulatedDocument=b"%PDF-1.7")
        del document.PixelData
        with pytest.raises(ImageError, match=r"Encapsulated PDF Storage.*no pixels"):
            result(written(document))

    @pytest.mark.parametrize("keyword", ["FloatPixelData", "DoubleFloatPixelData"])
    def test_floating_point(self, keyword: str) -> None:
        image = dataset(noise(2, 4))
        del image.PixelData
        setattr(image, keyword, bytes(64))
        assert fault_of(written(image)) == "unsupported"

    def test_size_before_decoding(self) -> None:
        image = dataset(noise(4, 4), Rows=50_000, Columns=60_000)
        with pytest.raises(ImageError, match="60000 x 50000 = 3,000,000,000 pixels") as caught:
            result(written(image))
        assert caught.value.fault == "too-large"
        assert fault_of(dicom(noise(10, 12)), max_pixels=119) == "too-large"
        assert fault_of(dicom(noise(3, 10, 12), frames=3), max_pixels=119) == "too-large"
        assert preprocess(dicom(noise(3, 10, 12), frames=3), spec_for(8, 8), max_pixels=120).frame == 2

    @pytest.mark.parametrize("keyword", ["Rows", "Columns", "BitsAllocated", "PhotometricInterpretation", "BitsStored"])
    def test_refuses_a_missing_pixel_description(self, keyword: str) -> None:
        image = dataset(noise(4, 4))
        delattr(image, keyword)
        assert fault_of(written(image)) == "damaged"

    def test_cut_short(self) -> None:
        data = dicom(noise(40, 40))
        assert fault_of(data[:-100]) == "damaged"

    def test_refuses_compressed_pixels_in_an_uncompressed_syntax(self) -> None:
        image = dataset(noise(40, 48))
        image.PixelData = encapsulate([encode(noise(40, 48), "JPEG")])
        data = written(image, uid.JPEGBaseline8Bit)
        changed = data.replace(str(uid.JPEGBaseline8Bit).encode(), b"1.2.840.10008.1.2.1\0\0\0")
        assert changed != data
        assert fault_of(changed) == "damaged"


class TestPrivacy:
    @pytest.mark.parametrize("cut", [None, -10, -400])
    def test_nothing_of_the_patient_in_words(
        self, cut: int | None, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        data = written(marked(noise(20, 24)))[:cut]
        assert data.count(MARKER.encode()) > 60
        assert MARKER not in words_about(data) + caplog.text + "".join(capfd.readouterr())

    def test_not_in_warnings_and_logs_of_libraries(self) -> None:
        """In a process of its own, where no test runner keeps warnings from standard error."""
        script = (
            "import logging, sys; logging.basicConfig(level=logging.DEBUG)\n"
            "from models.card import InputSpec\n"
            "from models.preprocessing import ImageError, preprocess\n"
            "data = sys.stdin.buffer.read()\n"
            "for piece in (data, data[:-300], data[:len(data) // 2], data.replace(b'MONOCHROME2', b'YBR_FULL   ')):\n"
            "    try:\n"
            "        print(preprocess(piece, InputSpec(height=8, width=8, channels=3))[1:])\n"
            "    except ImageError as error:\n"
            "        print(error)\n"
        )
        for image in (marked(noise(20, 24)), marked(noise(20, 24), SpecificCharacterSet=f"{MARKER} ISO")):
            run = subprocess.run([sys.executable, "-c", script], input=written(image), capture_output=True, check=True)
            assert b"DICOM" in run.stdout
            assert MARKER.encode() not in run.stdout + run.stderr

    def test_mutants_neither(self, capfd: pytest.CaptureFixture[str]) -> None:
        whole, chance = written(marked(noise(20, 24))), random.Random(0)
        for _ in range(150):
            data = bytearray(whole)
            for _ in range(5):
                data[chance.randrange(len(data))] = chance.randrange(256)
            assert MARKER[:4] not in words_about(bytes(data))
        assert MARKER[:4] not in "".join(capfd.readouterr())


def test_every_valid_kind_is_read() -> None:
    kinds = [name for name in VALID if name.startswith("dicom")]
    assert len(kinds) >= 15
    assert {result(VALID[name]).format for name in kinds} == {"DICOM"}


def reason_of(data: bytes) -> str:
    with pytest.raises(ImageError) as caught:
        picture_of(data)
    assert caught.value.fault == "damaged"
    return str(caught.value)


class TestReasons:
    """What the sender is told: the element or the codestream, and never a value of the file."""

    @pytest.mark.parametrize(
        ("keyword", "tag"),
        [("Rows", "(0028,0010)"), ("BitsStored", "(0028,0101)"), ("PixelRepresentation", "(0028,0103)")],
    )
    def test_a_missing_element_is_named(self, keyword: str, tag: str) -> None:
        image = dataset(noise(4, 6))
        delattr(image, keyword)
        assert f"does not say {keyword} {tag}" in reason_of(written(image))

    def test_too_few_pixels(self) -> None:
        image = dataset(noise(4, 6))
        image.PixelData = image.PixelData[:10]
        assert "(7FE0,0010) of the DICOM file hold fewer bytes" in reason_of(written(image))

    def test_another_size_in_the_codestream(self) -> None:
        image = dataset(noise(40, 45))
        image.compress(uid.JPEGLSLossless, generate_instance_uid=False)
        image.Rows = 41
        assert "has 45 x 40 pixels of 1 components, and its header says 45 x 41 of 1" in reason_of(
            written(image, uid.JPEGLSLossless)
        )

    @pytest.mark.parametrize("syntax", [uid.JPEG2000Lossless, uid.JPEGBaseline8Bit])
    def test_a_scrambled_codestream(self, syntax: uid.UID) -> None:
        """As some manufacturers store it: the file is whole, and only their own viewers read it."""
        image = dataset(noise(40, 45))
        image.PixelData = encapsulate([bytes(range(256)) * 4])
        image["PixelData"].is_undefined_length = True
        reason = reason_of(written(image, syntax))
        assert f"are not the codestream that its transfer syntax names ({syntax.name})" in reason
        assert "Some manufacturers scramble it" in reason

    def test_a_codestream_that_breaks_off(self) -> None:
        image, jpeg = dataset(noise(40, 45)), encode(noise(40, 45), "JPEG")
        image.PixelData = encapsulate([jpeg[: len(jpeg) // 2]])
        image["PixelData"].is_undefined_length = True
        reason = reason_of(written(image, uid.JPEGBaseline8Bit))
        assert f"The {uid.JPEGBaseline8Bit.name} codestream in the DICOM file can't be decoded" in reason

    def test_compressed_pixels_in_an_uncompressed_file(self) -> None:
        image = dataset(noise(40, 45))
        image.compress(uid.JPEGLSLossless, generate_instance_uid=False)
        data = written(image, uid.JPEGLSLossless).replace(b"1.2.840.10008.1.2.4.80", b"1.2.840.10008.1.2.1\0\0\0")
        assert "says that the pixels are uncompressed, and they are compressed" in reason_of(data)
