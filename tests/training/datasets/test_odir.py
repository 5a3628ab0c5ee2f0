"""ODIR-5K: labels of patients and of eyes, its two tables, and both eyes in one split."""

from pathlib import Path
from typing import Any

import pytest

from tests.training import released_trees as trees
from training.datasets import DataSet, Item
from training.datasets.odir import eye_label, keywords_of, read_odir
from training.errors import TrainingError
from training.recipe import FolderSpec, OdirSpec

SPEC = FolderSpec(validation=0.3, test=0.3)
LETTERS = "NDGCAHMO"


def read(path: Path, labels: str = "patient") -> DataSet:
    return read_odir(path, OdirSpec.model_validate({"labels": labels}), SPEC)


def all_items(data: DataSet) -> dict[str, Item]:
    return {item.id: item for items in data.splits.values() for item in items}


def letters(label: Any) -> str:
    return "".join(letter for letter, has in zip(LETTERS, label, strict=True) if has)


@pytest.mark.parametrize("make", [trees.odir, trees.odir_csv])
def test_both_eyes_bear_the_patients_labels_in_one_split(tmp_path: Path, make: Any) -> None:
    rows = trees.odir_rows()
    data = read(make(tmp_path, rows))
    items = all_items(data)
    assert len(items) == 2 * len(rows)
    for row in rows:
        expected = "".join(letter for letter in LETTERS if row[letter])
        for eye in ("Left", "Right"):
            assert letters(items[row[f"{eye}-Fundus"]].label) == expected
    for items_of in data.splits.values():
        eyes: dict[str, int] = {}
        for item in items_of:
            eyes[item.group] = eyes.get(item.group, 0) + 1
        assert set(eyes.values()) == {2}


def test_eyes_bear_their_own_labels(tmp_path: Path) -> None:
    items = all_items(read(trees.odir(tmp_path), "eye"))
    assert (letters(items["8_left.jpg"].label), letters(items["8_right.jpg"].label)) == ("N", "N")
    assert (letters(items["18_left.jpg"].label), letters(items["18_right.jpg"].label)) == ("G", "D")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("normal fundus", "N"),
        ("lens dust\uff0cnormal fundus", "N"),
        ("mild nonproliferative retinopathy", "D"),
        ("severe proliferative diabetic retinopathy\uff0chypertensive retinopathy", "DH"),
        ("suspected glaucoma", "G"),
        ("Cataract", "C"),
        ("wet age-related macular degeneration, myopic retinopathy", "AM"),
        ("myopia retinopathy\uff0claser spot", "MO"),
        ("drusen\uff0cnormal fundus", "O"),
        ("low image quality\uff0cmaculopathy", "O"),
        ("refractive media opacity", "O"),
        ("low image quality", "N"),
    ],
)
def test_labels_of_an_eye_by_its_keywords(text: str, expected: str) -> None:
    assert letters(eye_label(keywords_of(text))) == expected


def test_images_without_a_fundus_are_left_out(tmp_path: Path) -> None:
    rows = trees.odir_rows()
    rows[3]["Left-Diagnostic Keywords"] = "anterior segment image"
    rows[5]["Right-Diagnostic Keywords"] = "low image quality\uff0cno fundus image"
    data = read(trees.odir(tmp_path, rows))
    assert {"3_left.jpg", "5_right.jpg"} & set(all_items(data)) == set()
    assert len(all_items(data)) == 2 * len(rows) - 2
    assert "2 images left out" in data.split_rule


def test_the_same_labels_from_both_tables(tmp_path: Path) -> None:
    rows = trees.odir_rows()
    first, second = read(trees.odir(tmp_path / "a", rows)), read(trees.odir_csv(tmp_path / "b", rows))
    assert {id_: item.label for id_, item in all_items(first).items()} == {
        id_: item.label for id_, item in all_items(second).items()
    }


def change(rows: list[dict[str, Any]], row: int, **values: Any) -> list[dict[str, Any]]:
    rows[row] |= values
    return rows


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"D": 3}, "labels of patient 7 must be 0 or 1"),
        ({"G": None}, "lacks a value in G for patient 7"),
        ({"Left-Diagnostic Keywords": None}, "lacks a value in Left-Diagnostic Keywords for patient 7"),
    ],
)
def test_a_table_with_mistakes(tmp_path: Path, values: dict[str, Any], message: str) -> None:
    trees.odir(tmp_path, change(trees.odir_rows(), 7, **values))
    with pytest.raises(TrainingError, match=message):
        read(tmp_path)


def test_a_missing_image(tmp_path: Path) -> None:
    trees.odir(tmp_path)
    (tmp_path / "Training Images" / "9_left.jpg").unlink()
    with pytest.raises(TrainingError, match=r"lacks 1 image\(s\) that .* names, first '9_left\.jpg'"):
        read(tmp_path)


def test_a_damaged_table(tmp_path: Path) -> None:
    trees.odir(tmp_path)
    (tmp_path / "ODIR-5K_Training_Annotations(Updated)_V2.xlsx").write_bytes(b"PK not a workbook")
    with pytest.raises(TrainingError, match="is not an Excel workbook"):
        read(tmp_path)


def test_a_label_on_every_image_is_refused(tmp_path: Path) -> None:
    rows = [row | {"O": 1} for row in trees.odir_rows()]
    with pytest.raises(TrainingError, match="every image of the train split has other"):
        read(trees.odir(tmp_path, rows))
