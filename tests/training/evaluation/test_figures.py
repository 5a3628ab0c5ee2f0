"""``metrics.json``: files of other versions load and stay whole, and a damaged one is named."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from training.errors import TrainingError
from training.evaluation.evaluate import evaluate
from training.evaluation.figures import read_figures, write_figures
from training.run import Run

# What the first version wrote, key by key.
FIRST: dict[str, Any] = {
    "data": "scans",
    "md5": "0123",
    "images": 4,
    "patients": None,
    "seed": 0,
    "checkpoint": "best",
    "interval_method": "95 % percentile bootstrap over images, 1000 resamples",
    "metrics": {"accuracy": {"value": 0.75, "interval": [0.5, 1.0]}},
    "class_auc": {"ill": 0.8, "well": 0.8},
    "confusion": [[1, 1], [0, 2]],
    "temperature": 1.25,
    "target_prior": [0.5, 0.5],
    "split": "test",
}


def write(folder: Path, content: object) -> Path:
    path = folder / "metrics.json"
    path.write_text(json.dumps(content))
    return path


def test_of_the_first_version_load(tmp_path: Path) -> None:
    figures = read_figures(write(tmp_path, {"test": FIRST}))["test"]
    assert figures.metrics["accuracy"].interval == (0.5, 1.0)
    assert figures.confusion == [[1, 1], [0, 2]]
    assert (figures.per_class, figures.at_prior, figures.conformal, figures.attention) == (None, None, None, None)


def test_are_written_again_as_they_were(tmp_path: Path) -> None:
    content = {"val": FIRST | {"split": "val"}, "test": FIRST | {"of_a_later_version": {"kept": [1, 2]}}}
    path = write(tmp_path, content)
    write_figures(path, read_figures(path))
    assert json.loads(path.read_text()) == content


def test_without_a_value_stay_so(tmp_path: Path) -> None:
    # Of a class without images the sensitivity is not a number.
    row = {"images": 0, "sensitivity": {"value": math.nan, "interval": None}}
    path = write(tmp_path, {"test": FIRST | {"per_class": {"ill": row}}})
    write_figures(path, read_figures(path))
    per_class = read_figures(path)["test"].per_class
    assert per_class is not None
    assert math.isnan(per_class["ill"].figures["sensitivity"].value)


def test_of_a_finished_run_are_written_again_to_the_value(run_copy: Run) -> None:
    before = json.loads(run_copy.metrics_path.read_text())
    write_figures(run_copy.metrics_path, run_copy.metrics())
    assert json.loads(run_copy.metrics_path.read_text()) == before
    assert {"per_class", "at_prior", "conformal", "reliability"} <= before["test"].keys()


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b'{"test": {"data": "sc', "EOF"),
        (b"\xff\xfe\x00", "expected value"),
        (json.dumps({"test": {**FIRST, "metrics": {"accuracy": {}}}}).encode(), r"test\.metrics\.accuracy\.value: "),
        (json.dumps({"test": {k: v for k, v in FIRST.items() if k != "images"}}).encode(), r"test\.images: "),
    ],
    ids=["cut off", "bytes", "without a value", "without a key"],
)
def test_that_are_damaged_are_a_sentence_that_names_the_file(tmp_path: Path, content: bytes, fault: str) -> None:
    path = tmp_path / "metrics.json"
    path.write_bytes(content)
    with pytest.raises(TrainingError, match=rf"metrics\.json is damaged \(.*{fault}.*\): remove it") as caught:
        Run(tmp_path).metrics()
    assert str(path) in str(caught.value)


def test_that_are_damaged_stop_an_evaluation_before_the_test_split_is_opened(run_copy: Run) -> None:
    openings = run_copy.test_openings()
    run_copy.metrics_path.write_text("{")
    with pytest.raises(TrainingError, match=r"metrics\.json is damaged"):
        evaluate(run_copy, "test")
    assert run_copy.test_openings() == openings
