"""The page of the architecture names files and folders that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
TABLE = TEXT[TEXT.index("## Where do I find") :]
ROWS = re.findall(r"^\| ([^|`]+) \| `([^`]+)` \|$", TABLE, flags=re.MULTILINE)


def test_every_row_of_the_table_is_read() -> None:
    assert len(ROWS) == TABLE.count("\n|") - 2  # the head and the line under it


@pytest.mark.parametrize(("what", "where"), ROWS)
def test_named_path_exists(what: str, where: str) -> None:
    path = ROOT / where
    assert path.is_dir() if where.endswith("/") else path.is_file(), f"{what}: {where}"


def test_paths_in_the_text_exist() -> None:
    text = TEXT[TEXT.index("## The three rooms") : TEXT.index("## Where do I find")]
    room = Path()
    for line in text.splitlines():
        room = {"## From image to answer": Path("service"), "## From recipe to package": Path("training")}.get(
            line, room
        )
        for name in re.findall(r"`([a-z_/]+(?:/|\.py))`", line):
            assert (ROOT / name).exists() or (ROOT / room / name).exists(), name
