"""The verdicts' shares: against the exported graph run by ONNX Runtime with its card's thresholds, and counting."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from models.package import read_card
from tests.training.evaluation.samples import STYLE_REFERENCE
from tests.training.run_folder import predictions
from training.evaluation.kept import Evaluation
from training.evaluation.verdicts import measure_verdicts
from training.run import Run


def test_are_those_of_the_package_on_the_same_images(finished: Run, package: Path, tiny_npz: Path) -> None:
    session = onnxruntime.InferenceSession(package, providers=["CPUExecutionProvider"])
    style = read_card(session).style
    assert style is not None
    (shift,) = session.run(["style_shift"], {"image": np.load(tiny_npz)["test_images"]})
    verdicts = [
        "usual" if s <= style.usual_up_to else "unlike" if s > style.unlike_beyond else "unusual" for s in shift
    ]
    found = finished.metrics()["test"].style_shift
    assert found is not None
    assert {name: figure.value for name, figure in found.share.items()} == {
        name: verdicts.count(name) / 80 for name in ("usual", "unusual", "unlike")
    }
    assert found.false_alarm_rate.value == pytest.approx(1 - verdicts.count("usual") / 80)
    assert 0 < found.false_alarm_rate.value < 0.5
    assert (found.usual_up_to, found.unlike_beyond) == pytest.approx((style.usual_up_to, style.unlike_beyond), abs=1e-4)
    kept = Evaluation.read(finished, "test").style_shift
    assert kept is not None
    rows, _, _ = predictions(finished, "test")
    np.testing.assert_allclose(kept, shift, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose([float(row["style_shift"]) for row in rows], shift, rtol=1e-3, atol=1e-3)
    for part, value in found.quantiles.items():
        assert value == pytest.approx(np.quantile(shift, float(part)), abs=1e-3)


def test_accuracy_is_counted_in_each_group() -> None:
    shift = np.array([0.0, 0.5, 1.0, 1.5, 2.0, 2.5])
    right = np.array([True, True, False, True, False, False])
    found = measure_verdicts(STYLE_REFERENCE, shift, right, None)
    assert {name: figure["value"] for name, figure in found["share"].items()} == pytest.approx(
        {"usual": 3 / 6, "unusual": 2 / 6, "unlike": 1 / 6}
    )
    assert found["accuracy"] == {
        "usual": {"images": 3, "value": pytest.approx(2 / 3), "interval": None},
        "not_usual": {"images": 3, "value": pytest.approx(1 / 3), "interval": None},
    }


def test_intervals_are_percentiles_over_the_resamples() -> None:
    shift, right = np.array([0.0, 0.5, 1.5, 2.5]), np.array([True, False, True, False])
    weights = np.array([[1.0, 1, 1, 1], [2, 0, 2, 0], [0, 3, 0, 1], [1, 1, 2, 0]])
    found = measure_verdicts(STYLE_REFERENCE, shift, right, weights)
    assert found["false_alarm_rate"]["interval"] == pytest.approx(np.percentile([0.5, 0.5, 0.25, 0.5], [2.5, 97.5]))
    assert found["accuracy"]["usual"]["interval"] == pytest.approx(np.percentile([0.5, 1, 0, 0.5], [2.5, 97.5]))
    assert found["accuracy"]["not_usual"]["interval"] == pytest.approx(np.percentile([0.5, 1, 0, 1], [2.5, 97.5]))


def test_a_group_that_a_resample_lacks_has_no_interval_and_an_empty_one_no_accuracy() -> None:
    weights = np.array([[1.0, 1, 1], [0, 3, 0]])
    right = np.array([True, False, True])
    found = measure_verdicts(STYLE_REFERENCE, np.array([0.0, 0.5, 1.5]), right, weights)
    assert found["accuracy"]["not_usual"] == {"images": 1, "value": 1.0, "interval": None}
    usual = measure_verdicts(STYLE_REFERENCE, np.zeros(3), right, weights)
    assert list(usual["accuracy"]) == ["usual"]
    assert usual["share"]["unlike"] == {"value": 0.0, "interval": [0.0, 0.0]}
