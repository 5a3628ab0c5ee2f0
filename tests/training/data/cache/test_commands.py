"""``python -m training cache``: what is kept, and its removal."""

from pathlib import Path

import pytest

from models.card import InputSpec
from tests.training.command_line import call
from tests.training.data.cache.decodings import SPEC, Decodings
from training.data.cache.folder import cache_folder
from training.data.pipeline import cached
from training.datasets import Item


def test_list_says_what_is_there(
    items: list[Item], cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    assert isinstance(items[0].image, Path)
    items[0].image.write_bytes(b"")
    cached(items, SPEC, [])
    cached(items[5:], InputSpec(height=300, width=400, channels=1))
    assert call(monkeypatch, "cache", "list") == 0
    lines = capsys.readouterr().out.splitlines()
    (large,) = [line for line in lines if "400 x 300 px, 1 ch" in line]
    (small,) = [line for line in lines if "10 x 8 px, 3 ch" in line]
    assert small.replace("│", " ").split()[2:4] == ["8", "1"]  # images, unreadable
    assert large.replace("│", " ").split()[2:4] == ["4", "0"]
    assert str(items[0].image.parent.parent) in small
    assert lines[-1] == f"{cache}: 2 file(s), 0.5 MB"


def test_of_an_empty_cache(cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for command, end in (("list", "0 file(s), 0.0 MB"), ("clear", "0.0 MB removed")):
        assert call(monkeypatch, "cache", command) == 0
        assert capsys.readouterr().out == f"{cache}: {end}\n"


def test_clear_removes_what_training_wrote_and_nothing_else(
    items: list[Item],
    cache: Path,
    decodings: Decodings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    cached(items, SPEC)
    (inner,) = cache.iterdir()
    (inner / "killed.part").write_bytes(b"half")
    others = [cache / "notes.json", cache / "scans" / "eye.npy", inner / "mine.txt"]
    for other in others:
        other.parent.mkdir(exist_ok=True)
        other.write_text("mine")
    assert call(monkeypatch, "cache", "clear") == 0
    assert "MB removed" in capsys.readouterr().out
    assert sorted(path for path in cache.rglob("*") if path.is_file()) == sorted(others)
    decodings.take()
    assert len(cached(items, SPEC)) == 9
    assert decodings.take() == 9


def test_the_folder_is_the_users_unless_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETINA_TRAINING_CACHE", "~/elsewhere")
    assert cache_folder() == Path.home() / "elsewhere"
    monkeypatch.setenv("RETINA_TRAINING_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/cache/me")
    assert cache_folder() == Path("/var/cache/me/retina-srm")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "retina-srm"
