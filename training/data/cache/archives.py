"""The arrays of ``.npz`` files: a large one is unpacked to a plain ``.npy`` in the cache, once, and memory-mapped.

So every process on a machine shares what it reads, and memory holds only what is in use. A file is found by the path,
size and time of change of the ``.npz``, and by the member's name and CRC. This module works without torch.
"""

import zipfile
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.lib import format as npy
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray
from tqdm import tqdm

from training.data.cache.disk import alone, complain, digest, require_space
from training.data.cache.folder import Unpacked, cache_folder, now, read_index
from training.files import replace_text, whole

LARGE = 2**28
"""Bytes from which an array is unpacked. All sets of MedMNIST at 28 pixels are below it, so they leave no files, and
what is below it in the three splits needs at most 0.8 GB of memory."""
CHUNK = 2**22
"""Bytes that are unpacked at a time."""
FOLDER = digest(b"arrays of .npz files")


class Head(NamedTuple):
    """The header of a member, and where its values begin."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    start: int

    @property
    def bytes(self) -> int:
        return prod(self.shape) * self.dtype.itemsize


def array_of(archive: NpzFile, path: Path, name: str) -> NDArray[Any]:
    """One array of an ``.npz`` file, which was opened from the path: memory-mapped if it is large, else in memory.

    It is in memory, too, if its order is Fortran's, and after a sentence on standard error if the cache can't be
    written. A damaged file raises what NumPy raises for it.
    """
    file = archive.zip
    member = None if file is None else member_of(file, name)
    head = read_head(file, member) if file and member and member.file_size >= LARGE else None
    if not (file and member and head):
        return np.asarray(archive[name])
    try:
        return unpacked(file, path, member, head)
    except OSError as error:
        complain(cache_folder(), error)
    except ValueError:  # it ends early: NumPy says where
        pass
    return np.asarray(archive[name])


def member_of(file: zipfile.ZipFile, name: str) -> zipfile.ZipInfo | None:
    """The part of the zip file that :class:`NpzFile` opens under a name."""
    return {member.filename.removesuffix(".npy"): member for member in file.infolist()}.get(name)


def read_head(file: zipfile.ZipFile, member: zipfile.ZipInfo) -> Head | None:
    """The header of an array whose bytes can be used as they are; None of any other, which is NumPy's to read."""
    readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    try:
        with file.open(member) as stream:
            reader = readers.get(npy.read_magic(stream))
            if reader is None:
                return None
            shape, fortran, dtype = reader(stream)
            head = Head(shape, dtype, stream.tell())
    except ValueError:
        return None
    usable = not fortran and not dtype.hasobject and 0 < head.bytes <= member.file_size - head.start
    return head if usable else None


def unpacked(file: zipfile.ZipFile, path: Path, member: zipfile.ZipInfo, head: Head) -> NDArray[Any]:
    """The memory-mapped array, which this process or another one unpacks first if it is not there.

    Raises:
        OSError: if the cache can't be written.
    """
    state = path.stat()
    identity = f"{path.absolute()}\0{state.st_size}\0{state.st_mtime_ns}\0{member.filename}\0{member.CRC}"
    place = cache_folder() / FOLDER / f"{digest(identity.encode(errors='surrogateescape'))}.npy"
    found = mapped(place, head)
    if found is None:
        place.parent.mkdir(parents=True, exist_ok=True)
        with alone(place.with_suffix(".lock")):
            found = mapped(place, head)  # another process may have unpacked it meanwhile
            if found is None:
                write(file, member, head, place)
                source = str(path.absolute()).encode(errors="replace").decode()
                index = Unpacked(source=source, array=member.filename, shape=head.shape, written=now())
                replace_text(place.with_suffix(".json"), index.model_dump_json(indent=1) + "\n")
                found = mapped(place, head)
    if found is None:
        raise OSError(f"{place} was removed or changed meanwhile")
    return found


def mapped(place: Path, head: Head) -> NDArray[Any] | None:
    """A file in memory as far as it is used; None if it is not there, incomplete, or not what it should be."""
    if read_index(place.with_suffix(".json"), Unpacked) is None:
        return None
    try:
        array = np.load(place, mmap_mode="r", allow_pickle=False)
    except (OSError, EOFError, ValueError):
        return None
    fits = array.shape == head.shape and array.dtype == head.dtype and array.flags.c_contiguous
    return array.view(np.ndarray) if fits else None


def write(file: zipfile.ZipFile, member: zipfile.ZipInfo, head: Head, place: Path) -> None:
    """Unpack a member in chunks: it is an ``.npy`` file as it is. The zip file's reader compares the CRC at its end."""
    require_space(place.parent, head.bytes)
    with (
        file.open(member) as stream,
        whole(place, place.with_suffix(".part")) as target,
        tqdm(desc=f"Unpacking {member.filename}", leave=False, disable=None, unit="B", unit_scale=True) as bar,
    ):
        left = bar.total = head.start + head.bytes
        while left:
            chunk = stream.read(min(CHUNK, left))
            if not chunk:
                raise ValueError(f"{member.filename} ends early")
            target.write(chunk)
            left -= len(chunk)
            bar.update(len(chunk))
