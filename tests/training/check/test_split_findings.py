"""Patients, classes and splits."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from tests.training.check.pictures import entry, picture
from tests.training.tiny_data import tiny_recipe, write_manifest, write_tree
from training.check import inspect
from training.check.finding import Finding
from training.check.report import render
from training.check.source import Entry, read_dataset_source
from training.check.split_findings import class_counts, image_counts, split_findings
from training.datasets import read_dataset

IMAGE = picture(0)


def entries(counts: dict[str | None, dict[str, int]], patients: bool = True) -> list[Entry]:
    made: list[Entry] = []
    for split, of_class in counts.items():
        for label, number in of_class.items():
            for _ in range(number):
                made.append(entry(len(made), IMAGE, label, split, f"p{len(made)}" if patients else None))
    return made


GOOD: dict[str | None, dict[str, int]] = {split: {"a": 30, "b": 20} for split in ("train", "val", "test")}


def serious(found: list[Finding]) -> list[Finding]:
    return [finding for finding in found if finding.severity != "info"]


def test_nothing_is_said_of_good_splits() -> None:
    assert serious(split_findings(entries(GOOD))) == []
    assert class_counts(entries(GOOD)) == GOOD


def test_without_a_split_all_count_together() -> None:
    assert class_counts(entries({None: {"a": 3, "b": 4}})) == {"all": {"a": 3, "b": 4}}


def test_a_patient_in_two_splits_is_an_error() -> None:
    made = entries(GOOD)
    made[0] = made[0]._replace(patient="p120")
    (finding,) = serious(split_findings(made))
    assert (finding.severity, finding.examples) == ("error", ["p120: test, train"])


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_a_class_that_a_split_lacks_is_an_error(split: str) -> None:
    (finding,) = serious(split_findings(entries(GOOD | {split: {"a": 30}})))[:1]
    assert (finding.severity, finding.examples) == ("error", ["b"])
    assert split in finding.message


def test_train_must_be_there_and_the_others_can_be_cut_from_it() -> None:
    without = {split: counts for split, counts in GOOD.items() if split != "train"}
    assert any("train" in finding.message for finding in serious(split_findings(entries(without))))
    for absent in ("val", "test"):
        found = split_findings(entries({split: counts for split, counts in GOOD.items() if split != absent}))
        assert serious(found) == []
        assert any(f"no {absent} split" in finding.message for finding in found)


def test_one_class_is_an_error() -> None:
    assert "one class" in serious(split_findings(entries({None: {"a": 3}})))[0].message


def test_a_prior_shift_as_octmnists_is_a_warning() -> None:
    # A hundredth of OCTMNIST's training split against its uniform test split.
    made = entries({"train": {"c": 335, "d": 102, "e": 78, "n": 460}, "val": {"c": 35, "d": 11, "e": 8, "n": 46}})
    made += entries({"test": dict.fromkeys("cden", 25)})
    (finding,) = serious(split_findings([e._replace(patient=f"q{n}") for n, e in enumerate(made)]))
    assert "test than in train (total variation 0.32)" in finding.message  # 1/2 of .094 + .145 + .170 + .222


def test_a_shift_that_chance_explains_is_none() -> None:
    made = entries({"train": {"a": 50, "b": 50}, "val": {"a": 7, "b": 3}, "test": {"a": 5, "b": 5}})
    assert serious(split_findings(made)) == []


def test_a_rare_class_is_a_warning() -> None:
    (finding,) = serious(split_findings(entries({None: {"a": 210, "b": 10}})))
    assert finding.severity == "warning"


def test_patients_that_are_not_known_are_mentioned() -> None:
    (finding,) = split_findings(entries(GOOD, patients=False))
    assert "not known" in finding.message
    made = entries(GOOD)
    made[3] = made[3]._replace(patient=None)
    (finding,) = serious(split_findings(made))
    assert finding.examples == ["i3"]


class TestSeveralLabels:
    """Of multi-label data, each label is counted, not each combination."""

    def entries(self, split: str, *labels: tuple[str, ...]) -> list[Entry]:
        return [
            Entry(f"{split}-{n}", Path(f"{split}-{n}.png"), " + ".join(found) or "none", split, None, found)
            for n, found in enumerate(labels)
        ]

    def test_are_counted_one_by_one(self) -> None:
        entries = self.entries("train", ("N",), ("D", "G"), ("G",), ()) + self.entries("val", ("D", "N"), ("G",))
        assert class_counts(entries) == {"train": {"D": 1, "G": 2, "N": 1}, "val": {"D": 1, "G": 1, "N": 1}}
        assert image_counts(entries) == {"train": 4, "val": 2}

    def test_in_other_combinations_are_no_error(self) -> None:
        entries = self.entries("train", ("N",), ("D", "G"), ("G",)) + self.entries("val", ("D", "N"), ("G",))
        entries += self.entries("test", ("N", "G"), ("D",))
        assert {finding.severity for finding in split_findings(entries)} == {"info"}

    def test_that_a_split_lacks_are_named(self) -> None:
        entries = self.entries("train", ("N",), ("D", "G")) + self.entries("val", ("D",), ("N", "D"), ())
        entries += self.entries("test", ("N",), ("D", "G"))
        (error,) = [finding for finding in split_findings(entries) if finding.severity == "error"]
        assert (error.message.split(":")[0], error.examples) == ("the val split has no image of 1 label", ["G"])

    def test_that_every_image_has_are_named(self) -> None:
        entries = self.entries("train", ("N",), ("D",)) + self.entries("val", ("D",), ("N", "D"))
        entries += self.entries("test", ("N",), ("D",))
        (error,) = [finding for finding in split_findings(entries) if finding.severity == "error"]
        assert (error.message.split(":")[0], error.examples) == ("every image of the val split has 1 label", ["D"])

    def test_of_another_frequency_are_named(self) -> None:
        train = self.entries("train", *[("D",)] * 100, *[("G", "D")] * 20, *[("N",)] * 80)
        val = self.entries("val", *[("D",)] * 30, *[("G",)] * 10, *[("N",)] * 60)
        test = self.entries("test", *[("D",)] * 50, *[("G", "D")] * 10, *[("N",)] * 40)
        (warning,) = [finding for finding in split_findings([*train, *val, *test]) if finding.severity == "warning"]
        assert warning.examples == ["D: 60% of train, 30% of val"]  # N: p = .0016 by scipy


def test_the_report_of_several_labels_adds_up(tmp_path: Path) -> None:
    rows = [{"file": f"x/{n:03}.png", "D": n % 2, "H": int(n % 4 == 0), "split": "train"} for n in range(40)]
    write_tree(tmp_path, {"x": 40})
    write_manifest(tmp_path, rows)
    recipe = tiny_recipe(tmp_path, dataset="folder", task="multi-label", folder={"columns": {"label": ["D", "H"]}})
    for index, row in enumerate(rows):
        row["split"] = ("train", "val", "test")[index // 4 % 3]
    write_manifest(tmp_path, rows)
    report = inspect(read_dataset_source(read_dataset(recipe)), tmp_path / "out")
    assert report.counts["train"] == {"D": 8, "H": 4}
    assert report.images_by_split == {"train": 16, "val": 12, "test": 12}
    assert set(report.sizes) == {"D", "H", "none"}
    console = Console(record=True, width=200, file=io.StringIO())
    console.print(render(report))
    assert "8 (50%)" in console.export_text()
