"""Decoding in a process of its own: the pixels come back, and a decoder that stalls or dies is an error of the file."""

import os
import subprocess
import sys
import time
from pathlib import Path

import jpeg_ls
import numpy as np
import pytest
from pydicom import uid
from pydicom.encaps import encapsulate

from models.card import InputSpec
from models.preprocessing import ImageError, contained, preprocess
from models.preprocessing.contained import Codec, decode_apart
from tests.models.preprocessing.corpus import STALLING, VALID
from tests.models.preprocessing.dicom_files import dataset, picture_of, written
from tests.models.preprocessing.image_files import noise

ROOT = Path(__file__).resolve().parents[3]
SPEC = InputSpec(height=8, width=8, channels=3)


def test_a_stalling_decoder_is_stopped_soon_and_the_sender_is_told() -> None:
    preprocess(VALID["dicom-jpeg-ls"], SPEC)  # the process is started
    began = time.perf_counter()
    with pytest.raises(ImageError, match="took too long") as refused:
        preprocess(STALLING, SPEC)
    assert time.perf_counter() - began < 3
    assert refused.value.fault == "damaged"
    preprocess(VALID["dicom-jpeg-ls"], SPEC)


def test_what_stops_it_is_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contained, "BASE_LIMIT_S", 0.000001)
    with pytest.raises(ImageError, match="too long"):
        preprocess(STALLING, SPEC)


def test_the_timer_of_the_parent_stops_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contained, "START_LIMIT_S", -0.9)
    with pytest.raises(ImageError, match="too long"):
        preprocess(STALLING, SPEC)


@pytest.mark.skipif(not Path("/proc/self/environ").is_file(), reason="there is no /proc")
def test_a_process_gets_no_secret_of_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    contained.close()
    monkeypatch.setenv("RETINA_ADMIN_KEY", "a-secret")
    monkeypatch.setenv("PGPASSWORD", "a-secret")
    preprocess(VALID["dicom-jpeg-ls"], SPEC)
    [*_, worker] = contained.IDLE
    environment = Path(f"/proc/{worker.process.pid}/environ").read_bytes()
    assert b"PATH=" in environment
    assert b"a-secret" not in environment


@pytest.mark.parametrize("codec", ["jpeg-ls", "libjpeg", "lossless-colour"])
def test_nonsense_is_refused(codec: Codec) -> None:
    with pytest.raises(ValueError, match="the decoder failed"):
        decode_apart(b"nonsense", codec, 100)


def test_libraries_on_pythonpath_are_found(tmp_path: Path) -> None:
    """As where dependencies are unpacked into a folder: the process finds what the service found."""
    (tmp_path / "jpeg_ls.py").write_text(
        "def decode_pixel_data(codestream):\n    return b'found', {'components': 1, 'interleave_mode': 0}\n"
    )
    script = "from models.preprocessing import contained\nprint(contained.decode_apart(b'x', 'jpeg-ls', 100).pixels)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert run.stdout.strip() == "b'found'", run.stderr


def test_a_missing_decoder_is_no_damaged_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "jpeg_ls.py").write_text("import no_such_library\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setattr(contained, "IDLE", [])
    with pytest.raises(ImageError, match=r"not installed .* no_such_library can't be imported") as caught:
        preprocess(VALID["dicom-jpeg-ls"], SPEC)
    assert caught.value.fault == "unsupported"
    contained.close()


@pytest.mark.parametrize("name", ["dicom-jpeg-ls", "dicom-jpeg-2000", "dicom-jpeg"])
def test_a_process_decodes_one_file_after_another(name: str) -> None:
    preprocess(VALID[name], SPEC)
    [*_, worker] = contained.IDLE
    preprocess(VALID[name], SPEC)
    assert contained.IDLE[-1] is worker
    worker.process.kill()
    worker.process.wait()
    with pytest.raises(ImageError):  # this file may be what killed it
        preprocess(VALID[name], SPEC)
    preprocess(VALID[name], SPEC)


@pytest.mark.parametrize("answer", ["nonsense", "{}", '{"length": 100000000}', '{"length": 5}'])
def test_an_answer_that_is_none(answer: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(f"input()\nprint({answer!r})\n")
    monkeypatch.setattr(contained, "PROGRAM", program)
    monkeypatch.setattr(contained, "IDLE", [])
    with pytest.raises(ValueError, match="the decoder failed"):
        decode_apart(b"\n", "jpeg-ls", 100)


def test_processes_end_with_the_one_that_started_them() -> None:
    script = (
        "import os, signal, sys\n"
        "from models.preprocessing import contained\n"
        "try:\n"
        "    contained.decode_apart(b'nonsense', 'jpeg-ls', 100)\n"
        "except ValueError:\n"
        "    print(contained.IDLE[0].process.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=ROOT)
    worker = Path("/proc") / run.stdout.strip()
    for _ in range(100):
        if not worker.exists() or "(zombie)" in (worker / "status").read_text():
            return
        time.sleep(0.05)
    raise AssertionError("it lives on")


@pytest.mark.parametrize("interleave", [0, 1, 2])
def test_colours_in_planes_or_not(interleave: int) -> None:
    colour = noise(31, 33, 3)
    source = colour if interleave else np.moveaxis(colour, 2, 0)
    frame = bytes(jpeg_ls.encode_buffer(source.tobytes(), 31, 33, 3, 8, interleave_mode=interleave))
    image = dataset(colour)
    image.PixelData = encapsulate([frame])
    assert np.array_equal(picture_of(written(image, uid.JPEGLSLossless)), colour)
