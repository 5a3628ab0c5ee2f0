"""Files that Pillow refuses and browsers or other readers show: the same pixels as the file written plainly."""

import io
import struct
import time
import zlib
from contextlib import suppress
from typing import Literal

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from models.preprocessing import ImageError, preprocess
from models.preprocessing.repairs import PNG_START, as_classic_tiff, without_ancillary_chunks
from tests.models.preprocessing.image_files import decode, encode, fault_of, noise, spec_for


def chunk(kind: bytes, body: bytes, *, right: bool = True) -> bytes:
    checksum = zlib.crc32(kind + body) ^ (0 if right else 1)
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)


def with_chunk(png: bytes, added: bytes) -> bytes:
    """Behind the header chunk."""
    end = len(PNG_START) + 25
    return png[:end] + added + png[end:]


class TestPng:
    @pytest.mark.parametrize(
        "added",
        [
            chunk(b"tEXt", b"Comment\0a note", right=False),
            chunk(b"zTXt", b"Comment\0\0no deflate stream"),
            chunk(b"iCCP", b"profile\0\1" + zlib.compress(b"x")),
            chunk(b"pHYs", b"short"),
            chunk(b"tRNS", b"\0\1\0\2\0\3", right=False),
            chunk(b"eXIf", b"MM\0*", right=False),
        ],
        ids=lambda added: added[4:8].decode(),
    )
    def test_an_ancillary_chunk_that_is_broken_changes_nothing(self, added: bytes) -> None:
        colour = noise(9, 7, 3)
        assert np.array_equal(decode(with_chunk(encode(colour, "PNG"), added), 9, 7), colour)

    def test_chunks_that_are_seen_stay(self) -> None:
        grey = noise(9, 7)
        exif = Image.Exif()
        exif[274] = 3
        png = with_chunk(
            encode(grey, "PNG", exif=exif, transparency=int(grey[0, 0])), chunk(b"tEXt", b"a\0b", right=False)
        )
        wanted = np.where(grey == grey[0, 0], 0, grey)[::-1, ::-1]
        assert np.array_equal(decode(png, 9, 7, 1)[..., 0], wanted)

    def test_a_broken_critical_chunk_is_still_refused(self) -> None:
        png = encode(noise(9, 7, 3), "PNG")
        place = png.index(b"IDAT") + 10
        assert fault_of(png[:place] + bytes([png[place] ^ 1]) + png[place + 1 :]) == "damaged"

    def test_a_plain_file_is_not_copied(self) -> None:
        png = encode(noise(9, 7, 3), "PNG")
        assert without_ancillary_chunks(png) is png

    def test_a_million_empty_chunks_take_no_time(self) -> None:
        png = with_chunk(encode(noise(9, 7, 3), "PNG"), chunk(b"tEXt", b"") * 1_000_000)
        began = time.process_time()
        with pytest.raises(ImageError):
            preprocess(png, spec_for(9, 7))
        assert time.process_time() - began < 2


def big_tiff(pages: list[np.ndarray], order: Literal["<", ">"] = ">") -> bytes:
    """A BigTIFF by the specification, uncompressed, in strips of two rows."""
    made = bytearray(b"MM" if order == ">" else b"II") + struct.pack(f"{order}HHH", 43, 8, 0)
    link = len(made)
    made += bytes(8)
    for pixels in pages:
        height, width = pixels.shape[:2]
        samples = pixels.shape[2] if pixels.ndim == 3 else 1
        strips = [
            pixels[row : row + 2].astype(pixels.dtype.newbyteorder(order)).tobytes() for row in range(0, height, 2)
        ]
        places = []
        for strip in strips:
            places.append(len(made))
            made += strip
        entries: list[tuple[int, int, list[int]]] = [
            (256, 4, [width]),
            (257, 4, [height]),
            (258, 3, [8 * pixels.itemsize] * samples),
            (259, 3, [1]),
            (262, 3, [2 if samples == 3 else 1]),
            (273, 16, places),
            (277, 3, [samples]),
            (278, 4, [2]),
            (279, 16, [len(strip) for strip in strips]),
        ]
        rows = []
        for tag, kind, values in entries:
            content = b"".join(struct.pack(order + {3: "H", 4: "I", 16: "Q"}[kind], value) for value in values)
            if len(content) > 8:
                place, content = len(made), content
                made += content
                content = struct.pack(f"{order}Q", place)
            rows.append(struct.pack(f"{order}HHQ", tag, kind, len(values)) + content.ljust(8, b"\0"))
        struct.pack_into(f"{order}Q", made, link, len(made))
        made += struct.pack(f"{order}Q", len(rows)) + b"".join(rows)
        link = len(made)
        made += bytes(8)
    return bytes(made)


class TestBigTiff:
    @pytest.mark.parametrize("order", [">", "<"])
    @pytest.mark.parametrize("shape", [(9, 7), (9, 7, 3), (1, 1)])
    def test_is_read_in_both_byte_orders(self, shape: tuple[int, ...], order: Literal["<", ">"]) -> None:
        pixels = noise(*shape)
        found = decode(big_tiff([pixels], order), shape[0], shape[1], 3 if len(shape) == 3 else 1)
        assert np.array_equal(found.reshape(shape), pixels)

    def test_sixteen_bits(self) -> None:
        grey = np.random.default_rng(0).integers(0, 65536, (9, 7)).astype(np.uint16)
        assert np.array_equal(decode(big_tiff([grey]), 9, 7, 1)[..., 0], np.rint(grey / 257))

    def test_pages(self) -> None:
        pages = [noise(5, 4, seed=seed) for seed in range(3)]
        for number, page in enumerate(pages):
            found = preprocess(big_tiff(pages), spec_for(5, 4, 1), frame=number + 1)
            assert np.array_equal(found.pixels[..., 0], page)
        assert fault_of(big_tiff(pages), frame=4) == "frame"

    def test_directories_that_would_swell_the_file_are_left_alone(self) -> None:
        data = bytearray(big_tiff([noise(40, 40)]))
        place = data.rindex(struct.pack(">HHQ", 258, 3, 1))
        struct.pack_into(">Q", data, place + 4, 10**6)
        assert as_classic_tiff(bytes(data)) == bytes(data)

    def test_any_cut_is_refused_in_words_or_read(self) -> None:
        whole = big_tiff([noise(9, 7), noise(9, 7)])
        for cut in range(4, len(whole), 7):
            with suppress(ImageError):
                preprocess(whole[:cut], spec_for(9, 7, 1))


def test_text_is_not_an_orientation() -> None:
    """Browsers turn a picture by its EXIF chunk alone: so does the service."""
    colour = noise(9, 7, 3)
    exif = Image.Exif()
    exif[274] = 6
    about = PngImagePlugin.PngInfo()
    raw = b"Exif\0\0" + exif.tobytes()[6:] if exif.tobytes().startswith(b"Exif") else exif.tobytes()
    about.add_text("Raw profile type exif", f"\nexif\n{len(raw):8}\n{raw.hex()}\n")
    about.add_itxt("XML:com.adobe.xmp", '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf tiff:Orientation="6"/></x:xmpmeta>')
    stream = io.BytesIO()
    Image.fromarray(colour).save(stream, "PNG", pnginfo=about)
    assert np.array_equal(decode(stream.getvalue(), 9, 7), colour)
    jpeg = encode(Image.fromarray(colour), "JPEG", quality=100, subsampling=0, xmp=b'<rdf tiff:Orientation="6"/>')
    plain = encode(Image.fromarray(colour), "JPEG", quality=100, subsampling=0)
    assert np.array_equal(decode(jpeg, 9, 7), decode(plain, 9, 7))
