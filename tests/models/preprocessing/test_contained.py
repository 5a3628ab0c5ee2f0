"""Decoding in a process of its own: the pixels come back, and a decoder that stalls or dies is an error of the file."""

import jpeg_ls
import numpy as np
import pytest
from pydicom import uid
from pydicom.encaps import encapsulate

from models.preprocessing import contained
from models.preprocessing.contained import Codec, decode_apart
from tests.models.preprocessing.corpus import VALID
from tests.models.preprocessing.dicom_files import dataset, picture_of, written
from tests.models.preprocessing.image_files import fault_of, noise

STALLING = VALID["dicom-jpeg-ls"][:958]
"""Cut short, so that CharLS, as of pyjpegls 1.5.1, works for ten seconds and more on half a kilobyte."""


def test_a_stalling_decoder_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contained, "START_LIMIT_S", 1.0)
    assert fault_of(STALLING) == "damaged"


def test_what_stopped_it_is_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contained, "START_LIMIT_S", 0.01)
    with pytest.raises(ValueError, match="too long"):
        decode_apart(b"nonsense", "jpeg-ls", 100)


@pytest.mark.parametrize("codec", ["jpeg-ls", "libjpeg"])
def test_nonsense_is_refused(codec: Codec) -> None:
    with pytest.raises(ValueError, match="the decoder failed"):
        decode_apart(b"nonsense", codec, 100)


@pytest.mark.parametrize("interleave", [0, 1, 2])
def test_colours_in_planes_or_not(interleave: int) -> None:
    colour = noise(31, 33, 3)
    source = colour if interleave else np.moveaxis(colour, 2, 0)
    frame = bytes(jpeg_ls.encode_buffer(source.tobytes(), 31, 33, 3, 8, interleave_mode=interleave))
    image = dataset(colour)
    image.PixelData = encapsulate([frame])
    assert np.array_equal(picture_of(written(image, uid.JPEGLSLossless)), colour)
