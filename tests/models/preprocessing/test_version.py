"""Training keeps decoded images on disk by the version of the preprocessing, so another pixel needs another version.

If this test fails after a change of the preprocessing, raise ``models.preprocessing.VERSION`` and write the new digests
here. If it fails after an update of Pillow alone, write the new digests: Pillow's version is a part of the cache's key.
"""

import hashlib

import numpy as np
import pytest
from PIL import Image

from models.card import InputSpec
from models.preprocessing import VERSION, preprocess
from tests.models.preprocessing.dicom_files import dicom
from tests.models.preprocessing.image_files import encode, noise, smooth

BRIGHT = np.zeros((90, 120, 3), np.uint8)
BRIGHT[20:70, 30:100] = smooth(50, 70, seed=1)
TURNED = Image.Exif()
TURNED[0x0112] = 6
FILES = {
    "colours": encode(smooth(70, 90), "PNG"),
    "noise": encode(noise(45, 33, 3), "BMP"),
    "alpha": encode(noise(40, 40, 4), "PNG"),
    "palette": encode(Image.fromarray(smooth(50, 60)).quantize(16), "PNG"),
    "sixteen bits": encode(Image.fromarray(noise(50, 60).astype(np.uint16) * 257), "PNG"),
    "turned": encode(smooth(50, 64), "TIFF", exif=TURNED),
    "jpeg": encode(smooth(300, 400), "JPEG", quality=90),
    "dark around": encode(BRIGHT, "PNG"),
    "dicom": dicom(noise(40, 50)),
}
SPECS = [
    InputSpec(height=24, width=24, channels=3),
    InputSpec(height=20, width=30, channels=1, crop="none", interpolation="bilinear"),
    InputSpec(height=24, width=24, channels=3, content="fundus"),
    InputSpec(height=24, width=24, channels=1, content="b-scan"),
]
PINNED = {
    1: {
        "colours": "2b7f6ffda53ce1e1",
        "noise": "d8e9d827e54536e9",
        "alpha": "03fe73ec1edc01c2",
        "palette": "51cbca1a88cf64be",
        "sixteen bits": "2243302e49047d9a",
        "turned": "f58109be738514d7",
        "jpeg": "dcdb268b8438ec50",
        "dark around": "92ef99730f94ac2c",
        "dicom": "dc99d957e919f6cf",
    }
}


def digest_of(name: str) -> str:
    pixels = b"".join(preprocess(FILES[name], spec).pixels.tobytes() for spec in SPECS)
    return hashlib.sha256(pixels).hexdigest()[:16]


@pytest.mark.parametrize("name", FILES)
def test_the_pixels_are_those_of_the_version(name: str) -> None:
    assert digest_of(name) == PINNED[VERSION][name]
