"""Names of files in texts. On Linux a name is bytes, and old disks and devices have some in Latin-1."""

import os
from pathlib import Path


def readable(name: str | Path) -> str:
    """Return a name as text that can be encoded. A byte that is not UTF-8 becomes ``\\xNN``."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
