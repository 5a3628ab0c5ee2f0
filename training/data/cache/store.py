"""Find decoded images on disk, and decode what is not there yet.

Images of one input specification are below one folder, whose name also stands for the version of the preprocessing and
of the libraries that decode. Each request for images that are not there adds one file with an index beside it. An image
is found by its own key, in whatever file it is, so that splits, folds and parts of them share what was decoded once.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.lib import format as npy
from tqdm import tqdm

from models import preprocessing
from models.card import InputSpec
from training.data.cache.disk import DIGITS, alone, complain, digest, require_space
from training.data.cache.folder import Index, cache_folder, now, read_index
from training.data.cache.images import Pixels, Place
from training.data.decoding import Fault, Picture, decode_all
from training.files import replace_text, whole

DECODERS = ("pillow", "pydicom", "pylibjpeg", "pylibjpeg-libjpeg", "pylibjpeg-openjpeg", "pyjpegls")
"""Another version of one of these may give other pixels, or read what was unreadable."""
Found = Mapping[str, Place | Fault]
"""Key to where the decoded image is, or why it can't be read."""


def stored(images: Sequence[Picture], spec: InputSpec) -> list[Place | Fault] | None:
    """Where each image is in the cache on disk, or why it can't be read. What is missing is decoded into it.

    Returns None, after a sentence on standard error, if the cache can't be written.
    """
    made = how_made(spec)
    folder = cache_folder() / digest(json.dumps(made, sort_keys=True).encode())
    keys = [key_of(image) for image in images]
    wanted = {key: image for key, image in zip(keys, images, strict=True) if isinstance(key, str)}
    found = look_up(folder, wanted, spec)
    if len(found) < len(wanted):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = folder / f"{digest(''.join(wanted).encode())}.lock"
            with alone(lock):
                found = look_up(folder, wanted, spec)  # another process may have decoded them meanwhile
                missing = {key: image for key, image in wanted.items() if key not in found}
                if missing:
                    found = {**found, **write(lock.with_suffix(".part"), missing, spec, made)}
        except OSError as error:
            complain(cache_folder(), error)
            return None
    return [found[key] if isinstance(key, str) else key for key in keys]


def how_made(spec: InputSpec) -> dict[str, Any]:
    """All that decides the pixels beside the image itself."""
    return {
        "input": spec.model_dump(),
        "preprocessing": preprocessing.VERSION,
        "decoders": {name: version_of(name) for name in DECODERS},
    }


@cache
def version_of(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


def key_of(image: Picture) -> str | Fault:
    """Stands for the pixels of an array, and for a file until it is changed: its path, size and time of change."""
    if not isinstance(image, Path):
        pixels = hashlib.sha256(str(image.shape).encode())
        pixels.update(np.ascontiguousarray(image).data)
        return pixels.hexdigest()[:DIGITS]
    try:
        state = image.stat()
    except OSError as error:
        return Fault(str(error), of_content=False)
    return digest(f"{image.absolute()}\0{state.st_size}\0{state.st_mtime_ns}".encode(errors="surrogateescape"))


def look_up(folder: Path, wanted: Mapping[str, Picture], spec: InputSpec) -> Found:
    """Those of the wanted images that are in the files of a folder."""
    found: dict[str, Place | Fault] = {}
    for path in sorted(folder.glob("*.json")):
        try:
            index, rows = index_of(path, path.stat().st_mtime_ns)
        except OSError:  # removed meanwhile
            continue
        if index is None:
            continue
        here = [key for key in wanted if key in rows and key not in found]
        part = mapped(path.with_suffix(".npy"), len(index.images), spec) if here else None
        if part is not None:
            found |= {key: Place(part, rows[key]) for key in here}
        found |= {key: Fault(index.unreadable[key], of_content=True) for key in wanted if key in index.unreadable}
        if len(found) == len(wanted):
            break
    return found


@lru_cache(maxsize=64)
def index_of(path: Path, changed: int) -> tuple[Index | None, dict[str, int]]:
    """The index in a file and the row of each key, read once unless the file is changed."""
    index = read_index(path, Index)
    return index, {} if index is None else {key: row for row, key in enumerate(index.images)}


def mapped(path: Path, rows: int, spec: InputSpec) -> Pixels | None:
    """The file in memory as far as it is used; None if it is not what its index says."""
    try:
        part = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError):
        return None
    expected = (rows, spec.channels, spec.height, spec.width)
    return part.view(np.ndarray) if part.shape == expected and part.dtype == np.uint8 else None


def write(draft: Path, missing: Mapping[str, Picture], spec: InputSpec, made: Mapping[str, Any]) -> Found:
    """Decode images into a file, which gets its name and its index only when it is complete."""
    shape = (spec.channels, spec.height, spec.width)
    require_space(draft.parent, len(missing) * int(np.prod(shape)))
    path = draft.with_name(f"{uuid4().hex}.npy")
    faults: dict[str, Fault] = {}
    with whole(path, draft) as file:
        write_head(file, (0, *shape))
        decoded = decode_all(list(missing.values()), spec)
        shown = tqdm(decoded, "Decoding", len(missing), leave=False, disable=None, unit=" images")
        for key, result in zip(missing, shown, strict=True):
            if isinstance(result, Fault):
                faults[key] = result
            else:
                file.write(np.ascontiguousarray(result).data)
        rows = [key for key in missing if key not in faults]
        file.seek(0)
        write_head(file, (len(rows), *shape))  # as long as before: the format leaves space for the number of rows
    lasting = {key: fault.reason for key, fault in faults.items() if fault.of_content}
    index = Index(**made, source=source_of(missing.values()), written=now(), images=rows, unreadable=lasting)
    replace_text(path.with_suffix(".json"), index.model_dump_json(indent=1) + "\n")
    part = mapped(path, len(rows), spec) if rows else None
    return faults if part is None else {**{key: Place(part, row) for row, key in enumerate(rows)}, **faults}


def write_head(file: Any, shape: tuple[int, ...]) -> None:
    npy.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})


def source_of(images: Iterable[Picture]) -> str:
    """The folder of all files, for people who look at the cache."""
    folders = {str(image.absolute().parent) for image in images if isinstance(image, Path)}
    return os.path.commonpath(folders) if folders else "arrays"
