"""What is checked: layouts of folders and archives, and what is wrong with them already."""

from pathlib import Path

import numpy as np
import pytest

from tests.training.tiny_data import medmnist_arrays, tiny_recipe, write_manifest, write_medmnist, write_tree
from training.check.source import name_of, read_dataset_source, read_source
from training.datasets import read_dataset
from training.errors import TrainingError

FEW = {"train": (2, 2, 2, 2, 2), "val": (1, 1, 1, 1, 1), "test": (1, 1, 1, 1, 1)}


def test_a_tree_of_classes(tmp_path: Path) -> None:
    write_tree(tmp_path, {"drusen": 2, "normal": 3})
    write_tree(tmp_path / "cnv", {"active": 1})
    write_tree(tmp_path / ".hidden", {"cnv": 1})
    source = read_source(tmp_path)
    assert sorted(e.label for e in source.entries) == ["cnv", "drusen", "drusen", "normal", "normal", "normal"]
    assert {(e.split, e.patient) for e in source.entries} == {(None, None)}
    assert [finding.check for finding in source.findings] == ["layout"]


def test_a_tree_under_splits(tmp_path: Path) -> None:
    for split in ("train", "valid", "TEST"):
        write_tree(tmp_path / split, {"a": 1, "b": 1})
    found = {(e.split, e.label) for e in read_source(tmp_path).entries}
    assert found == {(split, label) for split in ("train", "val", "test") for label in "ab"}


def test_an_empty_class_is_an_error(tmp_path: Path) -> None:
    write_tree(tmp_path, {"a": 1, "b": 1})
    (tmp_path / "c").mkdir()
    finding, _ = read_source(tmp_path).findings
    assert (finding.severity, finding.examples) == ("error", ["c"])


def test_a_manifest_with_its_faults(tmp_path: Path) -> None:
    write_tree(tmp_path, {"a": 4, "b": 1})
    rows = [{"file": f"a/{n:03}.png", "patient": "P1", "split": s} for n, s in enumerate(("train", "valid", "dev", ""))]
    write_manifest(tmp_path, [*rows, {"file": "a/gone.png", "patient": "P2", "split": "test"}])
    source = read_source(tmp_path)
    assert [(e.label, e.split, e.patient) for e in source.entries] == [
        ("a", split, "P1") for split in ("train", "val", "dev", None)
    ]
    assert {(f.severity, f.examples[0]) for f in source.findings if f.check != "layout"} == {
        ("error", "a/gone.png"),
        ("error", "a/002.png: dev"),
        ("error", "a/003.png"),  # without a split, where others have one
        ("info", "b/000.png"),  # not in the manifest
    }


def test_an_archive(tmp_path: Path) -> None:
    arrays = medmnist_arrays(FEW)
    source = read_source(write_medmnist(tmp_path / "retinamnist_mine.npz", arrays))
    assert source.findings == []
    assert len(source.entries) == 20
    assert {e.label for e in source.entries} == {"no retinopathy", "mild", "moderate", "severe", "proliferative"}
    other = read_source(write_medmnist(tmp_path / "other.npz", arrays))
    assert {e.label for e in other.entries} == set("01234")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (
            {"val_labels": np.array([[0], [1], [2], [3], [9]])},
            "val_labels are outside 0 to 4 for 1 image(s), first [9] of image 4",
        ),
        ({"val_labels": np.array([[-1], [1], [2], [3], [4]])}, "outside 0 to 4 for 1 image(s), first [-1] of image 0"),
        ({"val_labels": np.array([[0], [1]])}, "val_labels are 2, for 5 images"),
        ({"val_labels": np.array([0.5, 1, 2, 3, 4])}, "save them as whole numbers"),
        ({"val_images": np.zeros((5, 28, 28, 3), np.float32)}, "val_images are float32: save them as uint8"),
    ],
    ids=["high", "negative", "few", "fractions", "floats"],
)
def test_an_archive_with_a_fault(tmp_path: Path, changed: dict[str, np.ndarray], words: str) -> None:
    source = read_source(write_medmnist(tmp_path / "retinamnist_mine.npz", medmnist_arrays(FEW) | changed))
    assert [f.severity for f in source.findings] == ["error"]
    assert words in source.findings[0].message
    assert len(source.entries) >= 15  # the other splits


def test_an_archive_without_a_split(tmp_path: Path) -> None:
    arrays = {name: array for name, array in medmnist_arrays(FEW).items() if not name.startswith("test")}
    (finding,) = read_source(write_medmnist(tmp_path / "mine.npz", arrays)).findings
    assert "test_images" in finding.message


def test_a_published_name_with_another_content(tmp_path: Path) -> None:
    (finding,) = read_source(write_medmnist(tmp_path / "retinamnist.npz", medmnist_arrays(FEW))).findings
    assert finding.severity == "error"
    assert "bd4c0672f1bba3e3a89f0e4e876791e4" in finding.message  # Zenodo record 10519652


def test_what_a_recipe_reads(tmp_path: Path) -> None:
    files = write_tree(tmp_path, {"a": 20, "b": 20})
    write_manifest(tmp_path, [{"file": file, "patient": f"p{n // 2}"} for n, file in enumerate(files)])
    source = read_dataset_source(read_dataset(tiny_recipe(tmp_path, dataset="folder", task="multi-class")))
    assert len(source.entries) == 40
    assert {e.patient for e in source.entries} == {f"p{n}" for n in range(20)}
    assert {e.split for e in source.entries} == {"train", "val", "test"}


def test_labels_of_several_findings() -> None:
    assert name_of((1, 0, 1), ["N", "D", "G"]) == "N + G"
    assert name_of((0, 0, 0), ["N", "D", "G"]) == "none"


@pytest.mark.parametrize("name", ["nowhere", "text.csv", "empty", "text.npz"])
def test_nothing_to_check(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.csv").write_text("a,b\n")
    (tmp_path / "text.npz").write_text("a,b\n")
    with pytest.raises(TrainingError, match=name):
        read_source(tmp_path / name)


def test_several_labels_of_an_archive(tmp_path: Path) -> None:
    labels = np.zeros((4, 14), np.uint8)
    labels[1, 0] = labels[2, 0] = labels[2, 13] = 1
    arrays = {f"{s}_{k}": a for s in FEW for k, a in (("images", np.zeros((4, 28, 28), np.uint8)), ("labels", labels))}
    known = read_source(write_medmnist(tmp_path / "chestmnist_mine.npz", arrays))
    assert known.findings == []
    assert [e.labels for e in known.entries[:4]] == [(), ("atelectasis",), ("atelectasis", "hernia"), ()]
    other = read_source(write_medmnist(tmp_path / "other.npz", arrays))
    assert [e.labels for e in other.entries[:4]] == [(), ("0",), ("0", "13"), ()]


def test_a_table(tmp_path: Path) -> None:
    write_tree(tmp_path, {"x": 2})
    (tmp_path / "labels.csv").write_text("Path, Label, Subject ID\nx/000.png, dr, p1\nx/001.png, normal, p2\n")
    for source in (read_source(tmp_path / "labels.csv"), read_source(tmp_path, tmp_path / "labels.csv")):
        assert [(e.label, e.patient) for e in source.entries] == [("dr", "p1"), ("normal", "p2")]


def test_large_arrays_of_an_archive_are_not_read_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.data.cache.archives.LARGE", 20_000)
    monkeypatch.setenv("RETINA_TRAINING_CACHE", str(tmp_path / "cache"))
    arrays = medmnist_arrays(FEW)
    entries = read_source(write_medmnist(tmp_path / "mine.npz", arrays)).entries
    (unpacked,) = (tmp_path / "cache").rglob("*.npy")  # val and test have 12 kB each
    np.testing.assert_array_equal(np.load(unpacked), arrays["train_images"])
    images = np.stack([np.asarray(entry.image) for entry in entries if entry.split == "train"])
    np.testing.assert_array_equal(images, arrays["train_images"])
