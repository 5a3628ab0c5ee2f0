"""Where the files of a source lie: a folder of this machine, or any file system that fsspec reaches."""

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Protocol, cast

import fsspec

from service.scoring.errors import ScoringError

TRIES = 3
FIRST_WAIT_S = 0.5
FAR_READS = 32
"""Files that are read at once from a far store: each waits for the network most of the time."""
DEFINITE = (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError)
"""Errors that another attempt does not change."""


class Tree(Protocol):
    """A folder and what lies below it. Several threads read at once."""

    address: str
    """In full, and without a password."""
    reads: int
    """Files to read at once; 0: as many as there are CPUs."""

    def names(self) -> Iterator[str]:
        """Yield every file below the folder by its name relative to it, with ``/``; hidden ones are passed over."""
        ...

    def open(self, name: str) -> IO[bytes]:
        """Open a file for reading at any position."""
        ...

    def read(self, name: str) -> bytes:
        """Return the content of a file.

        Raises:
            Exception: the file system's own, which have no common base.
        """
        ...


class LocalTree:
    """A folder of this machine. Links to files are followed, links to folders are not."""

    reads = 0

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.address = str(self.folder)

    def names(self) -> Iterator[str]:
        for folder, below, files in os.walk(self.folder, onerror=fail):
            below[:] = [name for name in below if not name.startswith(".")]
            place = os.path.relpath(folder, self.folder)
            start = "" if place == "." else place.replace(os.sep, "/") + "/"
            yield from (start + name for name in files if not name.startswith("."))

    def open(self, name: str) -> IO[bytes]:
        return (self.folder / name).open("rb")

    def read(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()


class FarTree:
    """A folder of a file system of fsspec. A read that fails is tried again, unless the error is definite."""

    reads = FAR_READS

    def __init__(self, system: Any, root: str) -> None:
        self.system = system
        self.root = root.rstrip("/")
        self.address = without_password(system.unstrip_protocol(root))

    def names(self) -> Iterator[str]:
        for folder, below, files in self.system.walk(self.root, detail=False):
            for name in [name for name in below if name.startswith(".")]:
                below.remove(name)
            start = folder.rstrip("/")[len(self.root) :].lstrip("/")
            yield from (f"{start}/{name}".lstrip("/") for name in files if not name.startswith("."))
            self.system.invalidate_cache(folder)  # it keeps a dictionary for each file

    def open(self, name: str) -> IO[bytes]:
        return cast(IO[bytes], self.system.open(f"{self.root}/{name}", "rb"))

    def read(self, name: str) -> bytes:
        for attempt in range(TRIES):
            try:
                return bytes(self.system.cat_file(f"{self.root}/{name}"))
            except DEFINITE:
                raise
            except Exception:
                if attempt + 1 == TRIES:
                    raise
                time.sleep(FIRST_WAIT_S * 4**attempt)
        raise AssertionError("unreachable")


def locate(source: str) -> tuple[Tree, str | None]:
    """Find a source: its folder, and the name of the file in it if the source is one file.

    Args:
        source: A path, or an address of fsspec such as ``s3://bucket/folder``.

    Raises:
        ScoringError: if nothing is there, or if the store can't be reached.
    """
    if "://" not in source and "::" not in source:
        return locate_here(Path(source))
    shown = without_password(source)
    try:
        system, path = fsspec.url_to_fs(source)
        if set(names_of(system)) & {"file", "local"}:
            return locate_here(Path(path))
        if system.isfile(path):
            folder, _, name = path.rpartition("/")
            return FarTree(system, folder), name
        if not system.exists(path):
            raise ScoringError(f"{shown} does not exist: check the address")
        return FarTree(system, path), None
    except ImportError as error:
        raise ScoringError(f"{shown} can't be read, because a package is missing: {error}") from None
    except ScoringError:
        raise
    except Exception as error:  # the libraries of stores have no common base
        raise ScoringError(f"{shown} can't be reached ({type(error).__name__}: {error})") from None


def locate_here(path: Path) -> tuple[Tree, str | None]:
    if path.is_dir():
        return LocalTree(path), None
    if path.is_file():
        return LocalTree(path.parent), path.name
    raise ScoringError(f"{path} does not exist: name a folder, a CSV manifest, a Parquet file or an address")


def names_of(system: Any) -> tuple[str, ...]:
    """The protocols of a file system."""
    found = system.protocol
    return (found,) if isinstance(found, str) else tuple(found)


def without_password(address: str) -> str:
    """The address without what stands before an ``@`` in its host."""
    return re.sub(r"://[^/@]*@", "://", address)


def fail(error: OSError) -> None:
    """Stop a walk at a folder that can't be listed: its images would be missing without a word."""
    raise ScoringError(f"{error.filename} can't be listed ({error.strerror}): check its rights")
