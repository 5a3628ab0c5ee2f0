"""Subgroups: the join with a CSV, groups by value and by quarter, and figures by hand."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from training.errors import TrainingError
from training.evaluation.kept import Evaluation
from training.evaluation.metrics import METRICS
from training.report.subgroups import Subgroup, read_subgroups

IMAGES = 120


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    """120 images of 60 patients, two classes, right in about 4 of 5."""
    random = np.random.default_rng(0)
    labels = np.arange(IMAGES) % 2
    ill = np.clip(random.normal(0.3 + 0.4 * labels, 0.2), 0.01, 0.99)
    probabilities = np.stack([1 - ill, ill], axis=1)
    nothing = np.zeros(0)
    return Evaluation(
        ids=np.array([f"i{index}" for index in range(IMAGES)]),
        patients=np.array([f"p{index // 2}" for index in range(IMAGES)]),
        labels=labels,
        logits=np.log(probabilities),
        probabilities=probabilities,
        uncalibrated=probabilities,
        gate_mean=nothing.astype(np.float32),
        gate_std=nothing.astype(np.float32),
        examples=nothing.astype(np.int64),
        images=nothing.astype(np.uint8),
        maps=nothing.astype(np.float32),
    )


def write(path: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def groups(evaluation: Evaluation, path: Path) -> dict[str, Subgroup]:
    return {f"{row.column} {row.value}": row for row in read_subgroups(path, evaluation, 50).rows}


def test_figures_are_those_of_the_group(evaluation: Evaluation, tmp_path: Path) -> None:
    rows = [{"id": f"i{index}", "sex": "F" if index < 80 else "M"} for index in reversed(range(IMAGES))]
    found = groups(evaluation, write(tmp_path / "m.csv", rows))
    assert list(found) == ["sex F", "sex M"]
    women = found["sex F"]
    assert (women.images, women.patients) == (80, 40)
    right = evaluation.probabilities.argmax(axis=1) == evaluation.labels
    figure = women.figures["accuracy"]
    assert figure is not None
    assert figure.value == pytest.approx(right[:80].mean())
    assert figure.interval is not None
    low, high = figure.interval
    assert low < figure.value < high
    assert found["sex M"].figures["accuracy"].value == pytest.approx(right[80:].mean())  # type: ignore[union-attr]


def test_calibration_error_is_of_the_group_at_the_class_frequencies_assumed(
    evaluation: Evaluation, tmp_path: Path
) -> None:
    """With weights 3 and 1 for the classes, as of rows that stand there so often."""
    rows = [{"id": f"i{index}", "sex": "F" if index < 80 else "M"} for index in range(IMAGES)]
    share = np.bincount(evaluation.labels) / IMAGES
    prior = share * np.array([3.0, 1.0]) / (share @ [3.0, 1.0])
    path = write(tmp_path / "m.csv", rows)
    found = read_subgroups(path, evaluation, 50, prior).rows[0].figures["ece"]
    own = np.repeat(np.arange(80), np.array([3, 1])[evaluation.labels[:80]])
    expected = METRICS["ece"](evaluation.probabilities[own], evaluation.labels[own])
    assert found is not None
    assert found.value == pytest.approx(expected)
    assert found.value != pytest.approx(groups(evaluation, path)["sex F"].figures["ece"].value)  # type: ignore[union-attr]


def test_joined_by_patient(evaluation: Evaluation, tmp_path: Path) -> None:
    rows = [{"patient": f"p{index}", "site": "north" if index < 20 else "south"} for index in range(50)]
    path = write(tmp_path / "m.csv", rows)
    found = groups(evaluation, path)
    assert {name: row.images for name, row in found.items()} == {
        "site north": 40,
        "site south": 60,
        "site not stated": 20,
    }
    assert found["site not stated"].figures == {}
    assert "too few" in found["site not stated"].fault
    assert read_subgroups(path, evaluation, 50).unmatched == 20


def test_numbers_are_cut_at_their_quartiles(evaluation: Evaluation, tmp_path: Path) -> None:
    rows = [{"file": f"i{index}", "age": "" if index >= 100 else 20 + index} for index in range(IMAGES)]
    found = groups(evaluation, write(tmp_path / "m.csv", rows))
    assert [row.images for row in found.values()] == [25, 25, 25, 25, 20]
    assert next(iter(found)) == "age 20 to 44.75"
    assert list(found)[3] == "age 94.25 to 119"


def test_a_missing_class_has_no_balanced_figures(evaluation: Evaluation, tmp_path: Path) -> None:
    rows = [{"id": f"i{index}", "eye": "left" if index % 2 else "right"} for index in range(IMAGES)]
    figures = groups(evaluation, write(tmp_path / "m.csv", rows))["eye left"].figures
    assert figures["macro_auc"] is None
    assert figures["balanced_accuracy"] is None
    assert figures["accuracy"] is not None


def test_columns_that_make_no_groups_are_named(evaluation: Evaluation, tmp_path: Path) -> None:
    rows = [{"id": f"i{index}", "note": f"n{index}", "label": "x", "split": "test"} for index in range(IMAGES)]
    found = read_subgroups(write(tmp_path / "m.csv", rows), evaluation, 50)
    assert found.left_out == ["note"]
    assert found.rows == []


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([{"name": "i0", "sex": "F"}], "needs a column id, file or patient"),
        ([{"id": "x", "sex": "F"}], "no id in .* is one of this evaluation, such as 'i0'"),
        ([{"id": "i0", "sex": "F"}, {"id": "i0", "sex": "M"}], "two rows with one id"),
    ],
)
def test_mistakes_give_one_sentence(
    evaluation: Evaluation, tmp_path: Path, rows: list[dict[str, str]], sentence: str
) -> None:
    with pytest.raises(TrainingError, match=sentence):
        read_subgroups(write(tmp_path / "m.csv", rows), evaluation, 50)


def test_files_that_are_no_csv_are_a_sentence(evaluation: Evaluation, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="can't be read"):
        read_subgroups(tmp_path / "gone.csv", evaluation, 50)
    (tmp_path / "empty.csv").write_text("id,sex\n")
    with pytest.raises(TrainingError, match="holds no rows"):
        read_subgroups(tmp_path / "empty.csv", evaluation, 50)
    (tmp_path / "image.csv").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(TrainingError, match="can't be read"):
        read_subgroups(tmp_path / "image.csv", evaluation, 50)
