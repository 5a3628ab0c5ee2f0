"""What is on the disk for certain, also after a power cut."""

import os
from pathlib import Path


def synchronise(path: Path) -> None:
    """Bring the content of a file, or the names in a folder, to the disk. Names only if the system can."""
    is_folder = path.is_dir()
    if is_folder and not hasattr(os, "O_DIRECTORY"):  # Windows
        return
    handle = os.open(path, os.O_RDONLY if is_folder else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
