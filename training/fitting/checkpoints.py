"""Checkpoint files: written atomically, so that a kill leaves no partial file, and checked when they are read."""

import hashlib
import io
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from training.errors import TrainingError
from training.files import write_atomically

NAME = re.compile(r"step-(\d+)-([0-9a-f]{16})\.pt")
KEPT = 2


class Checkpoints:
    """The newest checkpoint of a run and the one before, ``step-<step>-<SHA-256>.pt`` as torch saves it.

    The checksum in the name, as in files of torch.hub, detects a damaged file.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.whole: list[Path] = []
        """Files that were checked, the newest last."""

    def save(self, step: int, state: Mapping[str, Any]) -> None:
        """Add the checkpoint of a step, then remove all but the newest two undamaged ones.

        Raises:
            TrainingError: if it can't be written. The earlier ones are not changed.
        """
        content = serialised(state)
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"step-{step:08}-{hashlib.sha256(content).hexdigest()[:16]}.pt"
        write_atomically(path, content)
        self.whole = [*(earlier for earlier in self.whole if earlier != path), path][-KEPT:]
        for old in self.folder.iterdir():
            if old not in self.whole:
                old.unlink(missing_ok=True)

    def load(self) -> dict[str, Any] | None:
        """Read the newest undamaged checkpoint, on the CPU. None if there is no checkpoint yet.

        Raises:
            TrainingError: if there are checkpoints and all of them are damaged.
        """
        names = [path.name for path in self.folder.iterdir()] if self.folder.is_dir() else []
        found = [match for name in names if (match := NAME.fullmatch(name))]
        for match in sorted(found, key=lambda match: int(match[1]), reverse=True):
            path = self.folder / match[0]
            content = path.read_bytes()
            if hashlib.sha256(content).hexdigest()[:16] != match[2]:
                warnings.warn(f"{path} is damaged: going on from the checkpoint before it", stacklevel=2)
                continue
            self.whole = [path]
            state: dict[str, Any] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
            return state
        if found:
            raise TrainingError(f"no checkpoint in {self.folder} is whole: start the run again with --overwrite")
        return None


def serialised(state: Mapping[str, Any]) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()
