"""Patients, classes and splits."""

import pytest

from tests.training.check.pictures import entry, picture
from training.check.finding import Finding
from training.check.source import Entry
from training.check.split_findings import class_counts, split_findings

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


def test_an_absent_split_is_an_error() -> None:
    without = {split: counts for split, counts in GOOD.items() if split != "val"}
    assert any("val split has no image of 2 classes" in f.message for f in serious(split_findings(entries(without))))


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
