"""The differences of an INT8 graph, against figures worked out by hand."""

from typing import Any

import numpy as np
import pytest

from models.card import StyleReference
from models.verification import Difference
from tests.training.evaluation.samples import STYLE_REFERENCE
from training.packaging.int8.differences import Answers, described, differences

LABELS = np.array([0, 0, 1, 1])
BEFORE = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.4, 0.6]])


def answered(probabilities: Any = BEFORE, gates: Any = 0.5, shift: Any = (0.0, 0.5, 1.5, 3.0)) -> Answers:
    return Answers(
        np.asarray(probabilities), np.full((4, 1000), gates, np.float32), None if shift is None else np.array(shift)
    )


def compared(
    after: Answers, labels: Any = LABELS, style: StyleReference | None = STYLE_REFERENCE
) -> dict[str, Difference]:
    return {each.figure: each for each in differences(answered(), after, labels, style)}


def test_the_same_answers_are_accepted() -> None:
    found = compared(answered())
    assert [each.value for each in found.values()] == [0.0] * len(found)
    assert all(each.accepted for each in found.values())


def test_a_label_that_is_wrong_now_is_a_drop_of_accuracy_and_auc() -> None:
    worse = BEFORE.copy()
    worse[1] = [0.35, 0.65]  # above one image of the other class: 3 of 4 pairs in order
    found = compared(answered(worse))
    assert found["accuracy, drop"].value == 0.25
    assert found["macro AUC, drop"].value == 0.25
    assert found["probability, largest difference"].value == pytest.approx(0.45)
    assert found["probability, mean difference"].value == pytest.approx(0.45 * 2 / 8)
    refused = [name for name, each in found.items() if not each.accepted]
    assert refused == ["accuracy, drop", "macro AUC, drop"]


def test_each_label_of_a_multi_label_task_counts() -> None:
    worse = BEFORE.copy()
    worse[3, 0] = 0.6
    labels = np.array([[1, 0], [1, 0], [0, 1], [0, 1]])
    assert compared(answered(worse), labels)["accuracy, drop"].value == 1 / 8


def test_no_auc_of_a_label_that_no_image_has() -> None:
    found = compared(answered(), np.array([0, 0, 0, 0]))
    assert found["macro AUC, drop"].value == 0.0


@pytest.mark.parametrize(("moved", "accepted"), [(3, True), (8, False)])
def test_gates_may_move_in_one_of_a_thousand(moved: int, accepted: bool) -> None:
    after = answered()
    after.gates[0, :moved] += 0.25
    found = compared(after)
    assert found["gate, largest difference"].value == pytest.approx(0.25)
    assert found["gate, 99.9th percentile of the difference"].accepted == accepted


def test_verdicts_that_change() -> None:
    found = compared(answered(shift=(0.9, 1.1, 1.2, 2.5)))  # the second: from usual to unusual
    assert found["style verdicts, share changed"].value == 0.25
    assert not found["style verdicts, share changed"].accepted


def test_networks_without_gates_or_style() -> None:
    bare = Answers(BEFORE, np.zeros((4, 0), np.float32), None)
    names = [each.figure for each in differences(bare, bare, LABELS, None)]
    assert names
    assert not any("gate" in name or "style" in name for name in names)


@pytest.mark.parametrize(("value", "accepted"), [(0.0049, True), (0.97 - 0.965, False), (-0.2, True)])
def test_the_limit_itself_is_too_much(value: float, accepted: bool) -> None:
    assert Difference(figure="accuracy, drop", value=value, limit=0.005).accepted == accepted


def test_every_figure_is_described_with_its_limit() -> None:
    text = described([Difference(figure="a", value=0.25, limit=0.1), Difference(figure="b", value=1, limit=None)])
    assert text == "a 0.2500 (limit 0.1); b 1.0000"
