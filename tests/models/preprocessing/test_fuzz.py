"""Hostile files: each becomes an input or an ImageError, in bounded memory; nothing else ever comes out."""

import subprocess
import sys
import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.card import InputSpec
from models.preprocessing import ImageError, preprocess
from tests.models.preprocessing.corpus import APART, VALID, mutant
from tests.models.preprocessing.image_files import png, spec_for

MUTANTS = 100
"""Of each of the valid files: 3,400 in all, besides the truncated ones."""
MAX_PIXELS = 200_000
SPECS = (spec_for(8, 8), InputSpec(height=5, width=9, channels=1, interpolation="bilinear"))


every_file = pytest.mark.parametrize("name", VALID)
in_process = pytest.mark.parametrize("name", [name for name in VALID if name not in APART])


def survives(data: bytes, spec: InputSpec, frame: int | None = None) -> bool:
    """Whether the bytes become an input; anything else than that or an ImageError fails the test."""
    with warnings.catch_warnings(), suppress(ImageError):
        warnings.simplefilter("ignore")  # Pillow's, about metadata that it can't read
        pixels = preprocess(data, spec, max_pixels=MAX_PIXELS, frame=frame).pixels
        assert pixels.shape == (spec.height, spec.width, spec.channels)
        assert pixels.dtype == np.uint8
        return True
    return False


@every_file
def test_whole_files_are_fine(name: str) -> None:
    for spec in SPECS:
        assert survives(VALID[name], spec)


@in_process
def test_truncated_anywhere(name: str) -> None:
    data = VALID[name]
    for cut in range(0, len(data), max(len(data) // 100, 1)):
        survives(data[:cut], SPECS[cut % 2])


@in_process
def test_damaged_files(name: str) -> None:
    for seed in range(MUTANTS):
        survives(mutant(name, seed), SPECS[seed % 2], frame=2 if seed % 10 == 0 else None)


@pytest.mark.parametrize(("bits", "kind"), [(8, 0), (1, 0), (8, 2), (8, 3), (8, 4), (8, 6), (16, 0), (16, 2)])
@pytest.mark.parametrize("length", [0, 1, 2, 6, 255, 256, 257, 300])
@pytest.mark.parametrize("chunk", [b"tRNS", b"PLTE", b"eXIf", b"iCCP", b"gAMA"])
def test_chunks_of_another_length(chunk: bytes, length: int, bits: int, kind: int) -> None:
    """Right check sums around a wrong chunk: damage that only shows when the pixels are used."""
    rows = (b"\0" + bytes(4 * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[kind] * max(bits // 8, 1))) * 4
    colours = (b"PLTE", bytes(768))
    survives(png(4, 4, bits, kind, rows, colours, (chunk, b"\1" * length)), SPECS[length % 2])
    survives(png(4, 4, bits, kind, rows, (chunk, b"\1" * length)), SPECS[length % 2])


@given(data=st.binary(max_size=400))
@settings(max_examples=150, deadline=None, derandomize=True, database=None)
def test_any_bytes(data: bytes) -> None:
    survives(data, SPECS[len(data) % 2])


@given(
    start=st.sampled_from(
        [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"II*\0", b"MM\0*", b"BM", b"RIFF\0\0\0\0WEBPVP8"]
    ),
    rest=st.binary(max_size=300),
)
@settings(max_examples=300, deadline=None, derandomize=True, database=None)
def test_any_bytes_after_a_signature(start: bytes, rest: bytes) -> None:
    survives(start + rest, SPECS[len(rest) % 2])


@pytest.mark.skipif(sys.platform == "win32", reason="no resource module")
def test_memory_stays_bounded() -> None:
    """Of a process that meets 1,000 mutants; Python, numpy and the decoders alone are half of it."""
    script = (
        "import resource, warnings; warnings.simplefilter('ignore')\n"
        "from tests.models.preprocessing.corpus import APART\n"
        "from tests.models.preprocessing.test_fuzz import SPECS, survives\n"
        "from tests.models.preprocessing.corpus import VALID, mutant\n"
        "names = [name for name in VALID if name not in APART]\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "for number in range(1000): survives(mutant(names[number % len(names)], 5000 + number), SPECS[number % 2])\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    root = Path(__file__).resolve().parents[3]
    run = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True)
    unit = 1 if sys.platform == "darwin" else 1024
    assert int(run.stdout) * unit < 150e6
