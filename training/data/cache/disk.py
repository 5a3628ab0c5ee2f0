"""What all that writes into the cache needs: names, one writer at a time, enough space, and a word if it fails."""

import errno
import hashlib
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from training.data.cache.folder import VARIABLE

if sys.platform != "win32":
    import fcntl

DIGITS = 32
"""Of a SHA-256 in a name or a key."""

complained_of: set[Path] = set()


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:DIGITS]


def require_space(folder: Path, needed: int) -> None:
    """Raise if the disk would be full.

    Raises:
        OSError: that says how much is needed and how much is there.
    """
    free = shutil.disk_usage(folder).free
    if needed > 0.9 * free:
        raise OSError(errno.ENOSPC, f"{needed / 1e9:.1f} GB are needed and {free / 1e9:.1f} GB are free")


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Wait until no other process has the lock. A process that ends in any way gives it back. Not on Windows."""
    with path.open("a") as file:
        if sys.platform != "win32":
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def complain(folder: Path, error: OSError) -> None:
    """Say once, in process 0, that the cache is not used."""
    if folder not in complained_of and os.environ.get("RANK", "0") == "0":
        print(
            f"Decoded images can't be kept in {folder} ({error.strerror or error}), so they stay in memory: make room "
            f"with `python -m training cache clear`, or name another folder with {VARIABLE}",
            file=sys.stderr,
        )
    complained_of.add(folder)
