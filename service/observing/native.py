"""Standard error while the service runs: what libraries write there is counted and not shown.

C libraries such as libtiff write to file descriptor 2, past the log. Their lines may quote a file, and break a log of
JSON lines. So descriptor 2 becomes a pipe that a thread empties, and the log has a copy of the real standard error.
"""

from __future__ import annotations

import faulthandler
import io
import logging
import os
import select
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

logger = logging.getLogger(__name__)
STDERR = 2
LOG_EVERY_S = 60.0
SETTLE_S = 0.5
"""How long lines are collected before the first message about them."""
JOIN_S = 2.0


class Lossy(io.RawIOBase):
    """Descriptor 2 for Python code: what does not fit into the full pipe is dropped, as nobody would read it."""

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return STDERR

    def write(self, data: object) -> int:
        size = len(memoryview(data))  # type: ignore[arg-type]
        with suppress(OSError):
            os.write(STDERR, data)  # type: ignore[arg-type]
        return size


class Counter(threading.Thread):
    """Empty the pipe and count its lines. Log their number, once in :data:`LOG_EVERY_S` at most."""

    def __init__(self, pipe: int) -> None:
        super().__init__(name="standard-error", daemon=True)
        self.pipe = pipe
        self.lines = 0
        self.partial = False
        self.next_log = 0.0

    def run(self) -> None:
        while self.read():
            pass
        self.tell()
        os.close(self.pipe)

    def read(self) -> bool:
        """Wait for more, or for the time to log. False at the end of the pipe."""
        waits = max(0.0, self.next_log - time.monotonic()) if self.lines or self.partial else None
        if not select.select([self.pipe], [], [], waits)[0]:
            self.tell()
            return True
        data = os.read(self.pipe, 65536)
        if data and not (self.lines or self.partial):
            self.next_log = max(self.next_log, time.monotonic() + SETTLE_S)
        self.lines += data.count(b"\n")
        self.partial = not data.endswith(b"\n") if data else self.partial
        if time.monotonic() >= self.next_log and self.lines:
            self.tell()
        return bool(data)

    def tell(self) -> None:
        count, self.lines, self.partial = self.lines + self.partial, 0, False
        if count:
            self.next_log = time.monotonic() + LOG_EVERY_S
            plural = "" if count == 1 else "s"
            logger.warning("%d line%s from a native library on standard error, text left out", count, plural)


@contextmanager
def caught(real: TextIO) -> Iterator[None]:
    """Catch what is written to descriptor 2, until the end of the block. ``real`` gets a fatal error's traceback.

    Args:
        real: A copy of the real standard error, which the log writes to.
    """
    if sys.platform == "win32":  # there a pipe can't refuse to block
        yield
        return
    source, sink = os.pipe()
    # A library may hold Python's lock while it writes. Then the thread can't read, so a full pipe must not block.
    os.set_blocking(sink, False)
    counter = Counter(source)
    python_stderr, had_handler = sys.stderr, faulthandler.is_enabled()
    python_stderr.flush()
    os.dup2(sink, STDERR)
    os.close(sink)
    sys.stderr = io.TextIOWrapper(io.BufferedWriter(Lossy()), errors="backslashreplace", line_buffering=True)
    faulthandler.enable(real)
    counter.start()
    try:
        yield
    finally:
        restore(real, python_stderr)
        if had_handler:
            faulthandler.enable(STDERR)
        counter.join(JOIN_S)  # longer only if a child process still has the pipe


def restore(real: TextIO, python_stderr: TextIO) -> None:
    """Make the real standard error descriptor 2 again, so that an error of the interpreter at its end is seen."""
    sys.stderr.flush()
    os.dup2(real.fileno(), STDERR)
    sys.stderr = python_stderr
    faulthandler.disable()
