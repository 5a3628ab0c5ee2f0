"""What is kept of an image: by its pixels, whatever the file, and with the reason where it can't be read."""

from pathlib import Path

import imagehash
import numpy as np
import pytest
from PIL import Image, ImageOps

from tests.training.check.pictures import entry, picture
from training.check.scan import Scan, border_of, scan


def scan_one(path: Path) -> Scan:
    (found,) = scan([entry(0, path)])
    assert isinstance(found, Scan), found
    return found


def test_the_same_pixels_have_one_digest_in_any_lossless_format(tmp_path: Path) -> None:
    digests = set()
    for suffix in ("png", "bmp", "tif", "webp"):
        picture(1).convert("RGB").save(tmp_path / f"eye.{suffix}", lossless=True)
        digests.add(scan_one(tmp_path / f"eye.{suffix}").digest)
    assert len(digests) == 1
    picture(2).convert("RGB").save(tmp_path / "other.png")
    assert scan_one(tmp_path / "other.png").digest not in digests


def test_an_image_on_its_side_is_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture(1, 60, 40).save(tmp_path / "side.png", exif=exif)
    picture(1, 60, 40).transpose(Image.Transpose.ROTATE_270).save(tmp_path / "upright.png")
    side, upright = scan_one(tmp_path / "side.png"), scan_one(tmp_path / "upright.png")
    assert (side.width, side.height) == (40, 60)
    assert side.digest == upright.digest


def test_hashes_are_imagehashs(tmp_path: Path) -> None:
    image = picture(3, 64, 64)
    (found,) = scan([entry(0, image)])
    assert isinstance(found, Scan)
    for index, view in enumerate((image, ImageOps.mirror(image), ImageOps.flip(image), image.rotate(180))):
        bits = np.unpackbits(found.hashes[index]).astype(bool)
        np.testing.assert_array_equal(bits, imagehash.phash(view, 16).hash.ravel())


def test_encodings_differ_by_quality_and_mode(tmp_path: Path) -> None:
    found = []
    for name, mode, quality in (("a", "RGB", 90), ("b", "RGB", 60), ("c", "L", 90), ("d", "RGB", 90)):
        picture(1).convert(mode).save(tmp_path / f"{name}.jpg", quality=quality)
        found.append(scan_one(tmp_path / f"{name}.jpg").encoding)
    assert len(set(found[:3])) == 3
    assert found[0] == found[3]


def test_borders_on_each_side() -> None:
    grey = np.full((20, 40), 100, np.uint8)
    grey[:, :4], grey[:, -2:], grey[:5], grey[-1:] = 0, 0, 255, 255
    # The dark columns are broken by the white rows, so nothing but the white counts there.
    assert border_of(grey) == (0, 0, 0, 0, 0, 0, 5 / 20, 1 / 20)
    grey[:5], grey[-1:] = 0, 0
    assert border_of(grey) == (4 / 40, 2 / 40, 5 / 20, 1 / 20, 0, 0, 0, 0)
    assert border_of(np.zeros((4, 4), np.uint8))[:4] == (1, 1, 1, 1)


@pytest.mark.parametrize("content", [b"", b"no image", None], ids=["empty", "text", "truncated"])
def test_the_reason_of_an_unreadable_file(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "eye.png"
    picture(1).save(path)
    path.write_bytes(path.read_bytes()[:200] if content is None else content)
    (found,) = scan([entry(0, path)])
    assert isinstance(found, str)
    assert "image" in found


def test_a_file_that_has_gone(tmp_path: Path) -> None:
    (found,) = scan([entry(0, tmp_path / "gone.png")])
    assert "No such file" in str(found)
