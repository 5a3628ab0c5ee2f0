"""The content of B-scans with borders and of fundus photographs, drawn here so that their boxes are known."""

import io
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from models.card import Content, InputSpec
from models.preprocessing import Box, cut, fit, preprocess
from models.preprocessing.content import LEAST, content_box
from tests.models.preprocessing.image_files import Pixels, encode, noise, orientation, spec_for

HEIGHT, WIDTH = 240, 400


def b_scan(height: int = HEIGHT, width: int = WIDTH, *, dark: float = 5.0, corner: bool = False) -> Pixels:
    """Speckle (Rayleigh, as the magnitude of OCT has it) around a bright band; with a white corner, as a moved scan."""
    random = np.random.default_rng(0)
    rows, columns = np.ogrid[:height, :width]
    centre = 0.5 * height + 0.1 * height * np.sin(columns / width * 3)
    level = dark + 90 * np.exp(-(((rows - centre) / (0.09 * height)) ** 2))
    scan = random.rayleigh(level).clip(0, 235).astype(np.uint8)
    if corner:
        scan[rows < 30 * (1 - columns / (0.9 * width))] = 255
    return scan


def on(size: tuple[int, int], grey: int, scan: Pixels, left: int, top: int) -> Pixels:
    """A scan on a canvas (height, width) of one grey value."""
    canvas = np.full(size, grey, np.uint8)
    canvas[top : top + scan.shape[0], left : left + scan.shape[1]] = scan
    return canvas


def jpeg(picture: Pixels, quality: int | None) -> Image.Image:
    """The picture, after JPEG of a quality if there is one."""
    return (
        Image.fromarray(picture)
        if quality is None
        else Image.open(io.BytesIO(encode(picture, "JPEG", quality=quality)))
    )


def error(found: Box, box: tuple[int, int, int, int]) -> int:
    """How far, in pixels, a side of a box is from where it should be, at most."""
    (left, top, width, height), truth = found, box
    sides = (left, top, left + width, top + height)
    wanted = (truth[0], truth[1], truth[0] + truth[2], truth[1] + truth[3])
    return max(abs(one - other) for one, other in zip(sides, wanted, strict=True))


def disc(height: int, width: int, y: int, x: int, radius: int, background: int = 4) -> Pixels:
    """A fundus photograph: a reddish disc, darker outwards, on a noisy dark background."""
    random = np.random.default_rng(0)
    rows, columns = np.ogrid[:height, :width]
    distance = np.hypot(rows - y, columns - x) / radius
    photograph = random.integers(0, background + 1, (height, width, 3)).astype(float)
    bright = np.where(distance <= 1, 1 - 0.5 * distance, 0)[..., None] * np.array([190, 90, 50])
    return (photograph + bright).clip(0, 255).astype(np.uint8)


QUALITIES = pytest.mark.parametrize("quality", [None, 90, 70, 50])


class TestBScan:
    @pytest.mark.parametrize("dark", [6.0, 12.0])
    @pytest.mark.parametrize("corner", [False, True])
    @QUALITIES
    def test_speckle_and_white_corners_stay(self, dark: float, corner: bool, quality: int | None) -> None:
        picture = jpeg(b_scan(dark=dark, corner=corner), quality)
        assert content_box(picture, "b-scan") == (0, 0, WIDTH, HEIGHT)

    @pytest.mark.parametrize("corner", [False, True])
    @pytest.mark.parametrize("grey", [0, 60, 128, 255])
    @QUALITIES
    def test_a_frame(self, grey: int, corner: bool, quality: int | None) -> None:
        picture = on((HEIGHT + 150, WIDTH + 130), grey, b_scan(corner=corner), 61, 83)
        assert error(content_box(jpeg(picture, quality), "b-scan"), (61, 83, WIDTH, HEIGHT)) <= (1 if quality else 0)

    @pytest.mark.parametrize("side", ["top", "bottom", "left", "right"])
    @pytest.mark.parametrize("grey", [0, 128, 255])
    def test_a_border_on_one_side(self, grey: int, side: str) -> None:
        ahead = 27 if side in ("top", "left") else 0
        left, top = (ahead, 0) if side in ("left", "right") else (0, ahead)
        size = (HEIGHT, WIDTH + 27) if side in ("left", "right") else (HEIGHT + 27, WIDTH)
        picture = on(size, grey, b_scan(), left, top)
        assert content_box(Image.fromarray(picture), "b-scan") == (left, top, WIDTH, HEIGHT)

    @QUALITIES
    def test_a_letterbox_in_a_white_frame(self, quality: int | None) -> None:
        letterboxed = on((WIDTH, WIDTH), 0, b_scan(), 0, 80)
        picture = on((WIDTH + 74, WIDTH + 74), 255, letterboxed, 37, 37)
        assert error(content_box(jpeg(picture, quality), "b-scan"), (37, 117, WIDTH, HEIGHT)) <= 2

    @pytest.mark.parametrize("grey", [0, 255])
    @QUALITIES
    def test_a_caption(self, grey: int, quality: int | None) -> None:
        picture = Image.fromarray(on((HEIGHT + 40, WIDTH), grey, b_scan(), 0, 0))
        ImageDraw.Draw(picture).text((8, HEIGHT + 15), "OD 2023-04-05 ART 25 Q 31 HR 30 degrees", fill=255 - grey)
        found = content_box(jpeg(np.asarray(picture), quality), "b-scan")
        assert error(found, (0, 0, WIDTH, HEIGHT)) <= 2

    def test_a_sliver_is_not_cut_out(self) -> None:
        """Less than a quarter of the height would be left."""
        picture = on((4 * HEIGHT + 40, WIDTH), 0, b_scan(), 0, 300)
        assert content_box(Image.fromarray(picture), "b-scan") == (0, 0, WIDTH, 4 * HEIGHT + 40)
        picture = picture[40:]
        assert content_box(Image.fromarray(picture), "b-scan") == (0, 260, WIDTH, HEIGHT)


class TestFundus:
    @pytest.mark.parametrize("background", [0, 12])
    @QUALITIES
    def test_the_box_around_the_disc(self, background: int, quality: int | None) -> None:
        picture = jpeg(disc(300, 460, 150, 200, 120, background), quality)
        assert error(content_box(picture, "fundus"), (80, 30, 241, 241)) <= 3

    def test_a_disc_cut_at_top_and_bottom_is_padded(self) -> None:
        """The square reaches as far beyond the picture above as below, and is black there."""
        photograph = disc(200, 400, 100, 180, 130, background=0)
        picture = Image.fromarray(photograph)
        box = content_box(picture, "fundus")
        assert error(box, (50, -30, 261, 261)) <= 2
        spec = InputSpec(height=box.height, width=box.width, channels=3, content="fundus")
        pixels = fit(picture, spec)
        inside = photograph[:, box.left : box.left + box.width]
        assert np.array_equal(pixels[-box.top : -box.top + 200], inside)
        assert not pixels[: -box.top].any()

    def test_a_caption_and_a_date_stay_outside(self) -> None:
        picture = Image.fromarray(disc(300, 460, 140, 230, 110))
        draw = ImageDraw.Draw(picture)
        draw.text((5, 285), "OS  2023-04-05", fill=(255, 255, 255))
        draw.text((400, 3), "10:42:31", fill=(255, 255, 255))
        assert error(content_box(picture, "fundus"), (120, 30, 221, 221)) <= 3

    def test_a_white_frame_is_cut_first(self) -> None:
        photograph = np.pad(disc(300, 400, 150, 200, 120), ((40, 40), (60, 60), (0, 0)), constant_values=255)
        assert error(content_box(Image.fromarray(photograph), "fundus"), (140, 70, 241, 241)) <= 3

    @pytest.mark.parametrize("seed", range(3))
    def test_a_photograph_without_a_clear_disc_stays(self, seed: int) -> None:
        """Retina up to the edges, so smooth as to be like a border."""
        few = np.random.default_rng(seed).integers(90, 120, (3, 3, 3), dtype=np.uint8)
        picture = Image.fromarray(few).resize((380, 300), Image.Resampling.BICUBIC)
        assert content_box(picture, "fundus") == (0, 0, 380, 300)


sizes = st.integers(1, 70)


class TestAnyPicture:
    @given(sizes, sizes, st.sampled_from(["L", "RGB"]), st.sampled_from(["b-scan", "fundus"]), st.data())
    @settings(max_examples=150, deadline=None)
    def test_never_fails_and_never_grows(
        self, height: int, width: int, mode: Literal["L", "RGB"], content: Content, data: st.DataObject
    ) -> None:
        """A box in a box of noise, so that there is often something to cut."""
        outer, inner = data.draw(st.integers(0, 255)), data.draw(st.sampled_from([1, 40, 255]))
        left, top = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
        grey = np.full((height, width), outer, np.uint8)
        grey[top : top + height // 2 + 1, left : left + width // 2 + 1] = (
            noise(height, width)[: height - top, : width - left][: height // 2 + 1, : width // 2 + 1] % inner
        )
        picture = Image.fromarray(grey).convert(mode)
        box = content_box(picture, content)
        assert LEAST * width <= box.width <= max(width, height)
        assert LEAST * height <= box.height <= max(width, height)
        if content == "b-scan":
            assert box.left >= 0
            assert box.top >= 0
            assert box.left + box.width <= width
            assert box.top + box.height <= height
        elif min(box.left, box.top) < 0:
            assert box.width == box.height
        assert fit(picture, InputSpec(height=5, width=7, channels=3, content=content)).shape == (5, 7, 3)

    @given(sizes, sizes, st.integers(0, 255), st.sampled_from(["b-scan", "fundus"]))
    @settings(max_examples=60, deadline=None)
    def test_a_constant_picture_stays_as_it_is(self, height: int, width: int, grey: int, content: Content) -> None:
        picture = Image.new("L", (width, height), grey)
        assert content_box(picture, content) == (0, 0, width, height)

    @given(sizes, sizes, sizes, st.sampled_from(["centre-square", "none"]))
    @settings(max_examples=60, deadline=None)
    def test_all_keeps_every_border(
        self, height: int, width: int, side: int, crop: Literal["centre-square", "none"]
    ) -> None:
        """Pixel for pixel what it was before there was a choice: the centre square, resized."""
        picture = Image.fromarray(np.pad(noise(height, width), 5, constant_values=255))
        wanted = picture
        if crop == "centre-square":
            small = min(picture.size)
            left, top = (picture.width - small) // 2, (picture.height - small) // 2
            wanted = picture.crop((left, top, left + small, top + small))
        pixels = fit(picture, spec_for(side, side, 1, crop))
        assert np.array_equal(pixels[..., 0], np.asarray(wanted.resize((side, side), Image.Resampling.BICUBIC)))


class TestPreprocess:
    def test_a_card_from_before_reads_as_all(self) -> None:
        assert InputSpec.model_validate({"height": 8, "width": 8, "channels": 1}).content == "all"

    def test_the_crop_is_given_in_pixels_of_the_upright_file(self) -> None:
        """A JPEG that is decoded at a reduced scale and turned."""
        scan = np.asarray(Image.fromarray(b_scan()).resize((1600, 960), Image.Resampling.BICUBIC))
        framed = on((1600, 2000), 255, scan, 160, 480)
        data = encode(np.rot90(framed), "JPEG", quality=90, exif=orientation(6))
        spec = InputSpec(height=64, width=64, channels=1, content="b-scan", crop="none")
        result = preprocess(data, spec)
        assert (result.width, result.height) == (2000, 1600)
        assert error(result.crop, (160, 480, 1600, 960)) <= 8
        plain = fit(Image.fromarray(scan), spec.model_copy(update={"content": "all"}))
        assert np.abs(result.pixels.astype(int) - plain).mean() < 3

    def test_of_the_content_the_centre_square(self) -> None:
        framed = on((HEIGHT + 100, WIDTH + 90), 128, b_scan(), 30, 70)
        result = preprocess(encode(framed, "PNG"), InputSpec(height=50, width=50, channels=1, content="b-scan"))
        assert result.crop == (30 + (WIDTH - HEIGHT) // 2, 70, HEIGHT, HEIGHT)
        assert np.array_equal(
            result.pixels, cut(Image.fromarray(framed), result.crop, spec_for(50, 50, 1, "centre-square"))
        )
