"""A run of the command on the tiny repository, in this process, and its results as tables."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from service.scoring.command import score_source
from service.settings import Settings

NOTHING = {"version": None, "rows": None, "frame": None, "image_column": None, "id_column": None}


class Runs:
    """Runs into one folder, which is ``to``."""

    def __init__(self, settings: Settings, to: Path) -> None:
        self.settings = settings
        self.to = to
        self.said = ""

    def __call__(self, source: str | Path, *, settings: Settings | None = None, **options: Any) -> int:
        """Score a source, and return the exit status."""
        stream = io.StringIO()
        wanted = {**NOTHING, "model": "colour", **options}
        try:
            return score_source(
                str(source), str(self.to), settings or self.settings, **wanted, stderr=Console(file=stream, width=400)
            )
        finally:
            self.said = stream.getvalue()

    def parts(self) -> list[Path]:
        return sorted(self.to.glob("part-*.parquet"))

    def table(self) -> pa.Table:
        return pa.concat_tables(pq.read_table(path) for path in self.parts())

    def names(self) -> list[str]:
        return self.table()["name"].to_pylist()

    def failed(self) -> dict[str, str]:
        """The code of the reason of each failure, by name."""
        rows = [row for path in sorted(self.to.glob("failed-*")) for row in pq.read_table(path).to_pylist()]
        return {row["name"]: row["reason"] for row in rows}


@pytest.fixture
def score(settings: Settings, tmp_path: Path) -> Runs:
    return Runs(settings, tmp_path / "results")


@pytest.fixture
def images(tmp_path: Path, make_image: Callable[..., bytes]) -> Path:
    """A folder of twelve small images, some of them below it."""
    folder = tmp_path / "images"
    for index in range(12):
        path = folder / f"eye {index % 3}" / f"{index:02}.png" if index % 2 else folder / f"{index:02}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(make_image("PNG" if index % 2 else "JPEG", seed=index))
    return folder


def listed(folder: Path) -> list[str]:
    """The files of a folder by their names below it, in order."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
