"""Why an image can't be used, in words for the sender."""

from typing import Literal

ImageFault = Literal["empty", "unrecognised", "damaged", "too-large", "unsupported", "frame", "out-of-scope"]


class ImageError(ValueError):
    """An image that can't be used. The text says why, and what to do."""

    def __init__(self, fault: ImageFault, message: str) -> None:
        super().__init__(message)
        self.fault: ImageFault = fault


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Check the size in the header of a picture, before any pixel is decoded.

    Raises:
        ImageError: if it has more than ``max_pixels`` pixels.
    """
    if width * height > max_pixels:
        raise ImageError(
            "too-large",
            f"The image has {width} x {height} = {width * height:,} pixels and the limit is {max_pixels:,}: "
            "send a smaller one.",
        )


def damaged(what: str) -> ImageError:
    """A file that is damaged, with what is wrong with it: a clause without a full stop."""
    return ImageError("damaged", f"{what}: check that the whole file was sent, or export it again.")
