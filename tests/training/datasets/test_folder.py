"""Class-per-folder trees: splits by patient and at random, and the mistakes that people make."""

import os
import sys
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from models.card import InputSpec
from tests.training.datasets.folder_trees import all_files, class_of, files_of, patient_of, read
from tests.training.tiny_data import tiny_recipe, write_manifest, write_tree
from training.data.pipeline import cached
from training.errors import TrainingError
from training.fitting.engine import fit


class TestPlainTree:
    def test_is_read_whole(self, tree: Path) -> None:
        data = read(tree)
        assert data.labels == ["cnv", "drusen", "normal"]
        assert all_files(data) == sorted(
            f"{folder.name}/{file.name}" for folder in tree.iterdir() for file in folder.iterdir()
        )
        for items in data.splits.values():
            assert all(Path(str(item.image)).parent.name == class_of(data, item) for item in items)

    def test_reads_only_image_files(self, tree: Path) -> None:
        (tree / "cnv" / "000.png").rename(tree / "cnv" / "000.PNG")
        (tree / "cnv" / "notes.txt").write_text("not an image")
        (tree / "readme.png").write_bytes(b"beside the classes")
        assert len(all_files(read(tree))) == 120

    def test_is_split_by_class_in_the_stated_parts(self, tree: Path) -> None:
        data = read(tree, validation=0.2, test=0.25)
        assert {split: len(items) for split, items in data.splits.items()} == pytest.approx(
            {"train": 66, "val": 24, "test": 30}, abs=3
        )
        for items in data.splits.values():
            counts = Counter(class_of(data, item) for item in items)
            parts = {label: count / len(items) for label, count in counts.items()}
            assert parts == pytest.approx({"normal": 1 / 2, "drusen": 1 / 6, "cnv": 1 / 3}, abs=0.05)

    @pytest.mark.parametrize(("validation", "test"), [(0.15, 0.15), (0.1, 0.1), (0.1, 0.4), (0.4, 0.2), (0.4, 0.4)])
    def test_parts_are_the_nearest_that_folds_give(self, tree: Path, validation: float, test: float) -> None:
        # Folds of n images in 1/n; two neighbours such as 1/2 and 1/3 are 1/6 apart, so nothing is farther than 1/12.
        sizes = {
            split: len(items) / 120 for split, items in read(tree, validation=validation, test=test).splits.items()
        }
        assert sizes["test"] == pytest.approx(test, abs=1 / 12)
        assert sizes["val"] == pytest.approx(validation, abs=1 / 12)

    def test_depends_on_the_split_seed_alone(self, tree: Path) -> None:
        first, again, other = (files_of(read(tree, split_seed=seed)) for seed in (3, 3, 4))
        assert first == again
        assert first["test"] != other["test"]

    def test_describes_the_data_on_the_card(self, tree: Path) -> None:
        card = read(tree, {"licence": "CC0", "source": "Clinic A"}, split_seed=9).provenance()
        assert (card.name, card.licence, card.source) == ("scans", "CC0", "Clinic A")
        assert "seed 9" in card.split_rule
        assert "no patient" in card.split_rule  # a warning: images of one patient may be on both sides
        assert {split: sum(counts.values()) for split, counts in card.counts.items()} == {
            split: len(files) for split, files in files_of(read(tree, split_seed=9)).items()
        }


class TestPatients:
    @pytest.mark.parametrize("seed", range(3))
    def test_are_never_in_two_splits(self, patients: Path, seed: int) -> None:
        owner = patient_of(patients)
        where = defaultdict(set)
        for split, files in files_of(read(patients, split_seed=seed)).items():
            for file in files:
                where[owner[file]].add(split)
        assert len(where) == len(set(owner.values()))
        assert max(Counter(owner.values()).values()) > 1
        assert {patient for patient, splits in where.items() if len(splits) > 1} == set()

    def test_split_in_about_the_stated_parts_and_by_class(self, patients: Path) -> None:
        data = read(patients, validation=0.2, test=0.2)
        for split, part in {"train": 0.6, "val": 0.2, "test": 0.2}.items():
            labels = [class_of(data, item) for item in data.splits[split]]
            assert len(labels) / 480 == pytest.approx(part, abs=0.04)
            assert labels.count("glaucoma") / len(labels) == pytest.approx(1 / 3, abs=0.06)

    def test_split_depends_on_the_seed_alone(self, patients: Path) -> None:
        first, again, other = (files_of(read(patients, split_seed=seed)) for seed in (0, 0, 1))
        assert first == again
        assert first["test"] != other["test"]

    def test_are_on_the_card(self, patients: Path) -> None:
        assert "by patient" in read(patients).provenance().split_rule

    def test_fewer_than_folds(self, tmp_path: Path) -> None:
        files = write_tree(tmp_path, {"a": 20, "b": 20})
        write_manifest(tmp_path, [{"file": file, "patient": index % 4} for index, file in enumerate(files)])
        with pytest.raises(TrainingError, match="4 patient"):
            read(tmp_path)

    def test_a_class_with_fewer_images_than_folds(self, tmp_path: Path) -> None:
        write_tree(tmp_path, {"a": 5, "b": 5, "c": 5})
        with pytest.raises(TrainingError):
            read(tmp_path)


class TestMistakes:
    def test_no_folder_given(self) -> None:
        with pytest.raises(TrainingError, match="--set data=FOLDER"):
            read(None)

    def test_not_a_folder(self, tmp_path: Path) -> None:
        with pytest.raises(TrainingError, match="nowhere is not a folder"):
            read(tmp_path / "nowhere")

    def test_one_class(self, tmp_path: Path) -> None:
        write_tree(tmp_path, {"a": 20})
        (tmp_path / "b").mkdir()
        with pytest.raises(TrainingError, match=r"1 folder without images.*\(b\)"):
            read(tmp_path)
        (tmp_path / "b").rmdir()
        with pytest.raises(TrainingError, match=r"1 class\(es\) with images"):
            read(tmp_path)

    def test_an_empty_class(self, tree: Path) -> None:
        (tree / "glaucoma").mkdir()
        (tree / ".cache").mkdir()
        (tree / "__MACOSX").mkdir()
        with pytest.raises(TrainingError, match=r"1 folder without images.*\(glaucoma\)"):
            read(tree)

    def test_a_misspelt_label_in_the_manifest(self, tree: Path) -> None:
        rows = [{"file": f"{label}/{n:03}.png", "label": label} for label in ("normal", "cnv") for n in range(20)]
        rows[7]["label"] = "normla"
        write_manifest(tree, rows)
        with pytest.raises(TrainingError, match="split has no image of normla"):
            read(tree)

    def test_empty_folder(self, tmp_path: Path) -> None:
        with pytest.raises(TrainingError, match="one folder a class"):
            read(tmp_path)

    @pytest.mark.parametrize("content", [b"", b"no image", None], ids=["empty", "text", "truncated"])
    def test_a_damaged_image_is_named(self, tree: Path, content: bytes | None) -> None:
        victim = tree / "cnv" / "007.png"
        victim.write_bytes(victim.read_bytes()[:60] if content is None else content)
        items = [item for items in read(tree).splits.values() for item in items]
        with pytest.raises(TrainingError, match=r"cnv/007\.png"):
            cached(items, InputSpec(height=12, width=12, channels=1))


class TestMd5:
    def test_changes_with_any_byte_of_any_image(self, tree: Path) -> None:
        before = read(tree).md5
        for name in ("cnv/000.png", "normal/059.png"):
            content = (tree / name).read_bytes()
            (tree / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
            assert read(tree).md5 != before
            (tree / name).write_bytes(content)
        assert read(tree).md5 == before

    def test_changes_with_a_name(self, tree: Path) -> None:
        before = read(tree).md5
        (tree / "cnv" / "000.png").rename(tree / "cnv" / "zzz.png")
        assert read(tree).md5 != before

    def test_stays_with_the_order_of_files(self, tree: Path) -> None:
        rows = [{"file": f"{label}/{n:03}.png"} for label in ("normal", "cnv") for n in range(20)]
        sums = set()
        for order in (rows, rows[::-1], rows[7:] + rows[:7]):
            write_manifest(tree, order)
            sums.add(read(tree).md5)
        assert len(sums) == 1


class TestRealFolders:
    def test_ocular_is_split_by_patient(self, shared_data: Path) -> None:
        root = shared_data / "ocular"
        data, owner = read(root), patient_of(root)
        assert data.labels == ["cataract", "glaucoma", "normal"]
        assert len(owner) == 1330
        assert len(set(owner.values())) == 800
        people = {split: {owner[file] for file in files} for split, files in files_of(data).items()}
        assert sum(len(found) for found in people.values()) == 800
        assert sum(map(len, data.splits.values())) == 1330

    def test_oct_keeps_the_manifests_split(self, shared_data: Path) -> None:
        data = read(shared_data / "oct")
        assert data.labels == ["CNV", "DME", "DRUSEN", "NORMAL"]
        assert {split: len(items) for split, items in data.splits.items()} == {"train": 972, "val": 155, "test": 288}
        assert len({item.group for items in data.splits.values() for item in items}) == 908


@pytest.mark.skipif(sys.platform != "linux", reason="names are text on other systems")
def test_a_name_that_is_not_utf_8_is_trained_on(tmp_path: Path) -> None:
    """As ``fit`` does: read, summed, split, trained, evaluated and written."""
    root = tmp_path / "data"
    files = write_tree(root, {"dark": 12, "light": 12})
    for name in files[::4]:
        (root / name).rename(os.fsdecode(os.fsencode(root / name).replace(b".png", b"_caf\xe9.png")))
    sums = read(root).md5
    recipe = tiny_recipe(
        root, dataset="folder", task="multi-class", epochs=1, batch_size=4, folder={"validation": 0.25, "test": 0.25}
    )
    run = fit(recipe, tmp_path / "run", progress=False)
    assert run.checkpoint("best").is_file()
    assert read(root).md5 == sums
