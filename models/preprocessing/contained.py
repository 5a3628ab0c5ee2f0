"""Decoders that hostile bytes can stall or crash, run in separate processes with limits on time and memory.

CharLS (JPEG-LS) and libjpeg (JPEG of more than 8 bits) can spend minutes on two thousand bytes, and a thread can't be
stopped. The processes start when they are first needed, and wait for the next file. One that takes too long ends, and
takes no other file with it. All of them end with the process that started them.

Process pools of libraries unpickle what their workers send. A worker that hostile bytes have taken over could then take
over the service too, so the answers here are JSON and plain bytes (``contained_worker.py``).
"""

import atexit
import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, NamedTuple

from models.preprocessing.faults import ImageError

Codec = Literal["jpeg-ls", "libjpeg", "lossless-colour", "pydicom"]
START_LIMIT_S = 10.0
"""Limit for the start of a process and its libraries. A start takes 0.2 to 0.6 s."""
BASE_LIMIT_S, MEGAPIXEL_LIMIT_S = 1.0, 1.0
"""Limits for a codestream, and for each million of its pixels. They are ten times what was measured."""
MOST_IDLE = 2
"""Processes that wait for the next file. More run while more threads decode."""
PROGRAM = Path(__file__).with_name("contained_worker.py")
PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT", "TMPDIR", "LANG", "LC_ALL")
"""Environment variables of the processes. Others, such as keys and database passwords, stay out of their reach."""
LONGEST_LINE = 1000
BYTES_PER_PIXEL = 16


class Answer(NamedTuple):
    """What a process says of the pixels, and the pixels."""

    about: dict[str, Any]
    pixels: bytes


class Worker:
    """One process. Only one thread uses it at a time."""

    failed = False
    timed_out = False

    def __init__(self) -> None:
        environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        environment["OPENBLAS_NUM_THREADS"] = "1"  # numpy would reserve address space for each thread
        self.process = subprocess.Popen(
            [sys.executable, "-I", str(PROGRAM), json.dumps(sys.path)],  # libraries may lie on a path of PYTHONPATH
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
        )

    def ask(self, request: dict[str, Any], codestream: bytes, most: int) -> Answer | None:
        """Return the pixels of a codestream, at most so many bytes; None if the process has ended or answers nonsense.

        The process ends itself at its limit. The timer here is for systems on which it can't.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        timer = threading.Timer(START_LIMIT_S + request["limit_s"], self.stop)
        timer.daemon = True
        timer.start()
        try:
            self.process.stdin.write(json.dumps(request).encode() + b"\n" + codestream)
            self.process.stdin.flush()
            line = self.process.stdout.readline(LONGEST_LINE)
            about = json.loads(line) if line else {}
            length = about.get("length", -1)
            if 0 <= length <= most:
                pixels = self.process.stdout.read(length)
                if len(pixels) == length:
                    return Answer(about, pixels)
        except (OSError, ValueError):
            pass
        finally:
            timer.cancel()
        self.failed = True
        return None

    def stop(self) -> None:
        self.timed_out = True
        self.process.kill()

    def close(self) -> bool:
        """End the process, and return whether it had reached its time limit."""
        with suppress(subprocess.TimeoutExpired):  # one that has closed its pipe is about to end
            self.process.wait(0.5 if self.failed else 0)
        self.process.kill()
        status = self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            with suppress(OSError):  # bytes that were still to be written to it
                pipe.close()  # type: ignore[union-attr]
        return self.timed_out or status == -getattr(signal, "SIGALRM", 0)


IDLE: list[Worker] = []


def close() -> None:
    """End the processes that wait."""
    while IDLE:
        IDLE.pop().close()


atexit.register(close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=IDLE.clear)  # a pipe has one reader


def decode_apart(codestream: bytes, codec: Codec, pixels: int, **more: Any) -> Answer:
    """Decode a codestream in another process.

    ``pixels`` is the expected number of pixels, from which the time limit follows. ``more`` is for the codec: for
    ``pydicom`` the ``syntax``, ``plugin`` and ``options`` of its decoder.

    Raises:
        ImageError: if it took too long, or the decoder is not installed.
        ValueError: if the decoder refused the codestream or crashed.
    """
    limit_s = BASE_LIMIT_S + MEGAPIXEL_LIMIT_S * pixels / 1e6
    request = {"codec": codec, "length": len(codestream), "limit_s": limit_s, **more}
    try:
        worker = IDLE.pop()
    except IndexError:
        worker = Worker()
    answer = worker.ask(request, codestream, BYTES_PER_PIXEL * max(pixels, 1))
    if answer is None:
        if worker.close():
            raise ImageError(
                "damaged",
                "The picture in the DICOM file took too long to decode for its size, so it was given up: export it "
                "again, or store it uncompressed.",
            )
        raise ValueError("the decoder failed")
    if len(IDLE) < MOST_IDLE:
        IDLE.append(worker)
    else:
        worker.close()
    if "missing" in answer.about:
        raise ImageError(
            "unsupported",
            f"The decoder for the picture in the DICOM file is not installed where the service runs: the module "
            f"{answer.about['missing']} can't be imported.",
        )
    if not answer.pixels:
        raise ValueError("the decoder failed")
    return answer
