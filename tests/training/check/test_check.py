"""The command: what it finds in a folder with planted faults, what it writes, and how it exits."""

import json
import re
import shutil
import sys
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from tests.training.check.pictures import picture
from tests.training.tiny_data import write_manifest
from training.__main__ import main


def call(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr("training.__main__.console", Console(width=300))
    monkeypatch.setattr(sys, "argv", ["training", "check", *map(str, arguments)])
    try:
        main()
    except SystemExit as exit_:
        return int(exit_.code or 0)
    return 0


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of 30 different images, one a patient, in three splits."""
    root = tmp_path_factory.mktemp("clean") / "scans"
    rows = []
    for number in range(60):
        label, split = "ab"[number % 2], ("train", "train", "val", "test")[number // 2 % 4]
        (root / label).mkdir(parents=True, exist_ok=True)
        picture(number).save(root / label / f"{number:02}.png")
        rows.append({"file": f"{label}/{number:02}.png", "patient": f"P{number}", "split": split})
    write_manifest(root, rows)
    return root


def test_clean_data_pass(clean: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call(monkeypatch, clean, "--to", tmp_path, "--strict") == 0
    report = json.loads((tmp_path / "check.json").read_text())
    assert (report["images"], report["unreadable"], report["near_duplicates"]["pairs"]) == (60, {}, 0)
    assert {finding["severity"] for finding in report["findings"]} == {"info"}
    assert report["near_duplicates"]["false_alarms"] == [0, 60 * 59 // 2]
    assert report["near_duplicates"]["copies_found"]["saved as JPEG of quality 50"] > 0.95


def test_the_report_holds_its_pictures(clean: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    call(monkeypatch, clean, "--to", tmp_path)
    page = (tmp_path / "check.html").read_text()
    assert "data:image/png;base64," in page
    assert not re.search(r"(src|href)=.(?!data:)", page)
    with Image.open(tmp_path / "contact-sheet.png") as sheet:
        assert sheet.size[0] > 1000


@pytest.fixture
def faulty(clean: Path, tmp_path: Path) -> Path:
    """The same with a damaged file, an exact and a near copy in another split, and a patient in two splits."""
    root = tmp_path / "faulty"
    shutil.copytree(clean, root)
    rows = [line.split(",") for line in (root / "manifest.csv").read_text().split()[1:]]
    (root / rows[0][0]).write_bytes(b"not an image")
    shutil.copy(root / rows[1][0], root / "b/copy.png")
    with Image.open(root / rows[2][0]) as image:
        image.save(root / "a/near.jpg", quality=70)
    rows += [["b/copy.png", "Q1", "test"], ["a/near.jpg", "Q2", "val"]]
    rows[3][1] = rows[4][1]  # number 3 is in train, number 4 in val
    write_manifest(root, [dict(zip(("file", "patient", "split"), row, strict=True)) for row in rows])
    return root


def test_planted_faults_are_found(faulty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    assert call(monkeypatch, faulty, "--to", tmp_path / "out") == 1
    shown = capsys.readouterr().out
    found = {f["check"]: f for f in json.loads((tmp_path / "out" / "check.json").read_text())["findings"][:4]}
    assert {name: finding["severity"] for name, finding in found.items()} == {
        "files": "error",
        "patients": "error",
        "exact duplicates": "error",
        "near duplicates": "warning",
    }
    for check, words in {
        "files": "a/00.png: This is not an image file",
        "patients": "P4: train, val",
        "exact duplicates": "b/01.png [b, train] = b/copy.png [b, test]",
        "near duplicates": "a/02.png [a, train] ~ a/near.jpg [a, val]",
    }.items():
        assert found[check]["examples"][0].startswith(words)
        assert words in shown
    assert (tmp_path / "out" / "near-duplicates.png").is_file()


def test_warnings_count_when_asked(clean: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "warned"
    shutil.copytree(clean, root)
    (root / "manifest.csv").unlink()
    shutil.copy(root / "a/00.png", root / "a/copy.png")
    assert call(monkeypatch, root, "--to", tmp_path / "out") == 0
    assert call(monkeypatch, root, "--to", tmp_path / "out", "--strict") == 1


@pytest.mark.parametrize("named_by", ["argument", "--set"])
def test_what_a_recipe_reads(named_by: str, clean: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = ("--set", f"data={clean}") if named_by == "--set" else (clean,)
    assert call(monkeypatch, *data, "--recipe", "folder", "--to", tmp_path) == 0
    assert json.loads((tmp_path / "check.json").read_text())["counts"]["train"] == {"a": 16, "b": 16}


def test_nothing_named_is_a_sentence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(monkeypatch) == 1
    assert "Error: name a folder" in capsys.readouterr().err


def test_no_image_that_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.png").write_bytes(b"")
    assert call(monkeypatch, tmp_path, "--to", tmp_path / "out") == 1
    assert "none of 1 images" in capsys.readouterr().err
