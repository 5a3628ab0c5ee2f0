"""Images that can't be read: a run names all of them before it starts, or goes on without them and says so."""

import csv
from pathlib import Path
from typing import Any

import pytest

from models.card import InputSpec
from tests.training.tiny_data import tiny_recipe, write_manifest, write_tree
from training.data.pipeline import cached
from training.data.unreadable import NAMED
from training.datasets import read_dataset
from training.errors import TrainingError
from training.evaluation.evaluate import evaluate
from training.fitting.engine import fit
from training.recipe import Recipe
from training.run import Run

SPLITS = {"train": 12, "val": 4, "test": 4}
DAMAGED = ("a/001.png", "b/013.png", "b/018.png")  # one in each split
SPEC = InputSpec(height=12, width=12, channels=1)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two classes of 20 images, split by a manifest, with a damaged file in each split."""
    folder = tmp_path / "scans"
    files = write_tree(folder, {"a": 20, "b": 20})
    of_class = [split for split, count in SPLITS.items() for _ in range(count)]
    write_manifest(folder, [{"file": file, "split": of_class[n % 20]} for n, file in enumerate(files)])
    (folder / DAMAGED[0]).write_bytes(b"")
    (folder / DAMAGED[1]).write_bytes((folder / DAMAGED[1]).read_bytes()[:60])
    (folder / DAMAGED[2]).write_text("not found")
    return folder


def recipe(root: Path, **changes: Any) -> Recipe:
    return tiny_recipe(
        root,
        dataset="folder",
        task="multi-class",
        input={"size": 12, "channels": 1},
        network={"depth": 18, "stem": "small", "width": 0.05},
        epochs=1,
        batch_size=4,
        **changes,
    )


def test_a_run_names_them_all_before_it_starts(root: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="3 image") as caught:
        fit(recipe(root), tmp_path / "run", progress=False)
    assert all(file in str(caught.value) for file in DAMAGED)
    assert "on_corrupt=skip" in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_a_run_skips_and_records_them(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = fit(recipe(root, on_corrupt="skip"), tmp_path / "run", progress=False)
    shown = capsys.readouterr().out
    facts = Run.open(run.folder).facts()
    assert {image.id for image in facts.skipped} == set(DAMAGED)
    assert all(file in shown for file in DAMAGED)
    assert {split: sum(of_class.values()) for split, of_class in facts.training_data.counts.items()} == {
        split: 2 * count - 1 for split, count in SPLITS.items()
    }
    for split in ("val", "test"):
        assert evaluate(run, split).images == 7
        with (run.folder / f"predictions-{split}.csv").open() as file:
            assert not {row["id"] for row in csv.DictReader(file)} & set(DAMAGED)


def test_a_class_that_they_leave_empty_is_named(root: Path, tmp_path: Path) -> None:
    for number in range(12, 16):
        (root / f"a/{number:03}.png").write_bytes(b"")
    with pytest.raises(TrainingError, match="val split has no image of a:"):
        fit(recipe(root, on_corrupt="skip"), tmp_path / "run", progress=False)


def test_the_list_is_cut_where_it_gets_long(root: Path) -> None:
    for number in range(NAMED + 5):
        (root / f"{'ab'[number // 20]}/{number % 20:03}.png").write_bytes(b"")
    items = [item for items in read_dataset(recipe(root)).splits.values() for item in items]
    with pytest.raises(TrainingError, match=rf"^{NAMED + 7} image") as caught:
        cached(items, SPEC)
    lines = str(caught.value).splitlines()
    assert (len(lines), lines[-1].strip()) == (NAMED + 2, "and 7 more")


def test_a_file_that_has_gone_is_one_of_them(root: Path) -> None:
    items = [item for items in read_dataset(recipe(root)).splits.values() for item in items]
    (root / "a/000.png").unlink()
    with pytest.raises(TrainingError, match=r"4 image(.|\n)*a/000\.png: .*No such file"):
        cached(items, SPEC)
