"""Where an image's content is: a B-scan without the borders around it, a fundus photograph's field of view.

The rules read the grey values of the decoded picture and return a box of it. They never fail: where a rule finds
nothing to cut, or too little would be left, the box is the whole picture.
"""

from collections.abc import Callable
from functools import reduce
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops

from models.card import Content

LEAST = 1 / 4
"""The share of the width and of the height that must be left; else nothing is cut. A wide scan letterboxed to a square
keeps a third."""

ALIKE = 0.99
"""The share of a line's pixels that have the border's grey value, for the line to be one of the border."""
STEPS = 2
"""How many grey values a border's pixels may differ, at least: a JPEG's flat blocks do, speckle differs by more."""
SAMPLE = 256
"""Of a line's pixels, evenly spread, at most so many are looked at."""
RINGING = 8
"""Lines beside a border that a JPEG's block of 8 x 8 may have smeared."""
CAPTION = 0.2
"""The largest height of a caption, as a share of the picture's side."""
INK = 48
"""A caption differs from the border around it by at least so many grey values."""

BACKGROUND = 40
"""The background of a fundus photograph is no brighter than this."""
TENTH = 0.1
"""Where the field of view begins, between the background and the bright part of the image."""
CHORD = 0.04
"""The share of a line that the field of view fills, at least, once the line is counted to it."""

Grey = NDArray[np.uint8]

SIDES: dict[str, Callable[[Grey], Grey]] = {
    "top": lambda picture: picture,
    "bottom": lambda picture: picture[::-1],
    "left": lambda picture: picture.T,
    "right": lambda picture: picture.T[::-1],
}
"""The lines of a picture from each of its sides inwards."""


class Box(NamedTuple):
    """A rectangle of a picture, in pixels. It may reach beyond the picture, which is black there."""

    left: int
    top: int
    width: int
    height: int

    def moved(self, right: int, down: int) -> "Box":
        return Box(self.left + right, self.top + down, self.width, self.height)

    def scaled(self, across: float, down: float) -> "Box":
        """This box in a picture that is larger by these factors, to the nearest pixel."""
        left, top = round(self.left * across), round(self.top * down)
        right, bottom = round((self.left + self.width) * across), round((self.top + self.height) * down)
        return Box(left, top, right - left, bottom - top)

    def centre_square(self) -> "Box":
        """The largest square at its centre; an odd margin leaves its extra pixel at the right or below."""
        side = min(self.width, self.height)
        return Box(self.left + (self.width - side) // 2, self.top + (self.height - side) // 2, side, side)

    def padded_square(self) -> "Box":
        """The smallest square around it, with the same centre."""
        side = max(self.width, self.height)
        return Box(self.left - (side - self.width) // 2, self.top - (side - self.height) // 2, side, side)

    def of(self, picture: Grey) -> Grey:
        return picture[self.top : self.top + self.height, self.left : self.left + self.width]

    def leaves(self, width: int, height: int) -> bool:
        """Whether enough of a picture is left."""
        return self.width >= max(1, LEAST * width) and self.height >= max(1, LEAST * height)


def content_box(image: Image.Image, content: Content) -> Box:
    """The part of a picture, in mode L or RGB, that is its content.

    ``b-scan``: :func:`without_borders`. ``fundus``: the same for borders that are not dark, and of what is left
    :func:`field_of_view`.
    """
    whole = Box(0, 0, *image.size)
    if content == "all":
        return whole
    box = without_borders(np.asarray(image.convert("L")), photograph=content == "fundus")
    if content == "fundus":
        bright = np.asarray(reduce(ImageChops.lighter, image.split()))
        box = field_of_view(box.of(bright)).moved(box.left, box.top)
    return box if box.leaves(*image.size) else whole


def without_borders(grey: Grey, *, photograph: bool = False) -> Box:
    """Cut uniform borders (bars and frames of any grey value), until none is left.

    A border begins at the picture's edge. Its grey value v is the median of the outermost line. It goes on as long as
    99 % of a line's pixels lie within t of v. Here t is a quarter of the distance of v from black or from the nearest
    quartile of the picture's middle, whichever is less, but at least 2 grey values. A scan's speckle differs by more,
    even where it is darkest. A black bar does not, and a white one may be as noisy as JPEG makes it. The white corners
    with which a scanner fills moved scans stay, for they do not fill a line. Two things more are cut: up to 8 lines
    that JPEG has smeared, and a caption, which is lines mostly of the border's grey value with more border behind.

    In a ``photograph`` t is 2, for retina may be almost as smooth as a border, and dark borders stay.

    Not told from a border: rows of a scan whose device has set all the dark to one value.
    """
    height, width = grey.shape
    cut = dict.fromkeys(SIDES, 0)
    while True:
        left, top = cut["left"], cut["top"]
        box = Box(left, top, width - left - cut["right"], height - top - cut["bottom"])
        if not box.leaves(width, height):
            return Box(0, 0, width, height)
        part = box.of(grey)
        tolerances = np.full(256, STEPS) if photograph else tolerance_of(part)
        for side, from_side in SIDES.items():
            if more := border(
                from_side(part), tolerances, RINGING if cut[side] else 0, BACKGROUND if photograph else -1
            ):
                cut[side] += more
                break
        else:
            return box


def tolerance_of(picture: Grey) -> NDArray[np.intp]:
    """How far the pixels of a border may lie from its grey value, for each grey value (256,)."""
    height, width = picture.shape
    middle = picture[height // 4 : height - height // 4, width // 4 : width - width // 4]
    few = np.sort(middle[:: 1 + height // 64, :: 1 + width // 64], axis=None)
    marks = np.array([0, *(few[len(few) * quarter // 4] for quarter in (1, 2, 3))])
    return np.asarray(np.maximum(STEPS, np.abs(np.arange(256)[:, None] - marks).min(axis=1) // 4))


def border(lines: Grey, tolerances: NDArray[np.intp], smear: int, darkest: int) -> int:
    """How many lines at the beginning of ``lines`` are a border's, after at most ``smear`` lines of any kind."""
    lines = lines[:, :: 1 + lines.shape[1] // SAMPLE]
    first = np.ascontiguousarray(lines[: smear + 1])
    values = np.sort(first, axis=1)[:, lines.shape[1] // 2].astype(np.intp)
    alike = np.abs(first - values[:, None]) <= tolerances[values][:, None]
    uniform = np.flatnonzero((alike.mean(axis=1) >= ALIKE) & (values > darkest))
    if len(uniform) == 0:
        return 0
    cut = int(uniform[0])
    value = int(values[cut])
    low, high = max(value - int(tolerances[value]), 0), min(value + int(tolerances[value]), 255)
    share = (lines - np.uint8(low) <= np.uint8(high - low)).mean(axis=1)  # what is below low wraps around
    cut += run(share[cut:] >= ALIKE)
    while captioned := caption(lines[cut:], share[cut:], value):
        cut += captioned
    return cut + smeared(lines[cut : cut + 2 * RINGING], value)


def run(flags: NDArray[np.bool_]) -> int:
    """How many are true before the first that is not."""
    return len(flags) if flags.all() else int(flags.argmin())


def caption(lines: Grey, share: NDArray[np.float64], value: int) -> int:
    """How many lines are those of a caption in a border, and of the border behind it; 0 without a caption."""
    reach = int(CAPTION * len(lines))
    height = run(share[: reach + 1] < ALIKE)
    if height == 0 or height > reach or height == len(lines):
        return 0
    ink = np.abs(lines[:height].astype(np.int16) - value) > INK
    if not ink.any() or ink.mean(axis=1).max() > 0.5:
        return 0
    return height + run(share[height:] >= ALIKE)


def smeared(lines: Grey, value: int) -> int:
    """How many lines beside a border differ from it by less than a quarter of what those 8 lines further do."""
    if len(lines) < 2 * RINGING:
        return 0
    difference = np.abs(lines.astype(np.int16) - value)
    mean, plain = difference.mean(axis=1), (difference <= INK).mean(axis=1) >= ALIKE
    return run((mean[:RINGING] < mean[RINGING:].mean() / 4) & plain[:RINGING])


def field_of_view(bright: Grey) -> Box:
    """The square around the disc of a fundus photograph; black beyond the picture, where its edges cut the disc.

    The background b is the second lowest of the medians of the four corners. The field of view begins a tenth of the
    way from b to the picture's mean; Graham's winning solution of Kaggle's Diabetic Retinopathy Detection (2015,
    preprocessImages.py) takes a tenth of the mean of the middle row. The disc is the longest run of rows, and then of
    columns, of which the field of view fills at least 4 %. So a caption, a date or noise beside the disc stays outside.
    The shorter side of the box is made as long as the longer one, equally on both sides. So the aspect ratio stays, and
    nothing of the disc is lost. A picture with fewer than three dark corners has no clear disc and stays as it is.

    ``bright`` (H, W) is the largest of the colours of each pixel.
    """
    height, width = bright.shape
    whole = Box(0, 0, width, height)
    down, across = max(1, height // 40), max(1, width // 40)
    corners = [
        bright[rows, columns]
        for rows in (slice(down), slice(-down, None))
        for columns in (slice(across), slice(-across, None))
    ]
    values = sorted(float(np.median(corner)) for corner in corners)
    if values[2] > BACKGROUND:
        return whole
    background = values[1]
    threshold = background + max(STEPS, TENTH * (float(np.mean(bright[::4, ::4])) - background))
    inside = bright > threshold
    top, bottom = longest_run(inside.mean(axis=1) >= CHORD)
    left, right = longest_run(inside[top:bottom].mean(axis=0) >= CHORD) if bottom > top else (0, 0)
    box = Box(left, top, right - left, bottom - top)
    return box.padded_square() if box.leaves(width, height) else whole


def longest_run(flags: NDArray[np.bool_]) -> tuple[int, int]:
    """The beginning and the end of the longest run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], flags.astype(np.int8), [0]))))
    begins, ends = edges[::2], edges[1::2]
    if len(begins) == 0:
        return 0, 0
    longest = int((ends - begins).argmax())
    return int(begins[longest]), int(ends[longest])
