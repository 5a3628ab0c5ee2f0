"""A small file in memory that several processes change, one at a time."""

import ctypes
import errno
import fcntl
import hashlib
import mmap
import os
import time
import weakref
from functools import lru_cache
from pathlib import Path
from types import TracebackType

libc = ctypes.PyDLL(None, use_errno=True)
"""Its calls keep Python's own lock. ``fcntl.flock`` gives that lock to other threads, and would hold the file until it
comes back: up to 97 ms beside three busy threads (EXPERIMENTS.md), in which no worker could go on."""
TRIES, PAUSE_S = 20, 20e-6
"""The file is held for a few microseconds, so the first tries come at once. The pauses after them are for a holder that
waits for a CPU."""
DIGEST = 16


@lru_cache(4096)
def digest(caller: str) -> bytes:
    """Who a caller is in a file of fixed size: 16 bytes, never all zero in practice, and not its name."""
    return hashlib.blake2b(caller.encode(), digest_size=DIGEST).digest()


class SharedFile:
    """A file of ``size`` bytes, mapped into memory; ``with`` it, this process alone changes the bytes.

    A process may be killed at any instruction. The kernel then releases the file. So what is written must make sense
    after each single write. Only one thread of a process may use an instance.

    Raises:
        OSError: if there is no room for the file.
        ValueError: if the file exists with another size.
    """

    def __init__(self, path: Path, size: int) -> None:
        self.file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        weakref.finalize(self, os.close, self.file)
        with self:
            missing = size - os.fstat(self.file).st_size
            if missing < 0:
                raise ValueError(f"{path} holds more than {size} bytes: another service uses it")
            if missing:  # written, because a hole that finds no memory later ends the process
                os.pwrite(self.file, bytes(missing), size - missing)
        self.bytes = mmap.mmap(self.file, size)

    def __enter__(self) -> None:
        tries = 0
        while libc.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB):
            error = ctypes.get_errno()
            if error not in (errno.EWOULDBLOCK, errno.EINTR):
                raise OSError(error, os.strerror(error))
            tries += 1
            time.sleep(0 if tries < TRIES else PAUSE_S)

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        libc.flock(self.file, fcntl.LOCK_UN)
