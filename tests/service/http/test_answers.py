"""Answers of a multi-label model: each label for itself, and none where none is likely."""

import csv
import io
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from models.card import Card
from models.preprocessing import Box, Preprocessed
from service.http.answers import Prediction, prediction
from service.inference.runtime import Model, Outputs
from service.offline import write
from tests.conftest import LABELS, tiny_card


@pytest.fixture(scope="module")
def card() -> Card:
    return tiny_card("eyes", "1")


ENDS = ("highest", "lowest")
GATES = [0.3, 0.9, 0.1, 0.5, 0.7, 0.2, 0.8, 0.4]
"""Of the first block, which has 8 channels."""


def test_the_summary_names_the_three_highest_and_lowest_gates_in_order(card: Card) -> None:
    gates = np.full(card.gates, 0.6, np.float32)
    gates[: len(GATES)] = GATES
    outputs = Outputs(np.array([1, 0, 0], np.float32), gates, np.zeros((len(LABELS), 2, 2), np.float32))
    image = Preprocessed(np.zeros((16, 16, 3), np.uint8), Box(5, 0, 20, 20), 30, 20, "PNG")
    given = prediction(card, image, outputs, file=None, weights="summary", activation_map=False)
    assert card.blocks[0].channels == len(GATES)
    summary = given["recalibration_weights"][card.blocks[0].name]
    found = {end: [(gate["channel"], round(float(gate["weight"]), 6)) for gate in summary[end]] for end in ENDS}
    assert found == {"highest": [(1, 0.9), (6, 0.8), (4, 0.7)], "lowest": [(2, 0.1), (5, 0.2), (0, 0.3)]}


def answer(card: Card, probabilities: list[float]) -> dict[str, Any]:
    outputs = Outputs(
        np.array(probabilities, np.float32), np.zeros(card.gates, np.float32), np.zeros((len(LABELS), 2, 2), np.float32)
    )
    image = Preprocessed(np.zeros((16, 16, 3), np.uint8), Box(5, 0, 20, 20), 30, 20, "PNG")
    return prediction(card, image, outputs, file="a.png", weights="none", activation_map=False)


@pytest.mark.parametrize(
    ("probabilities", "present"),
    [([0.6, 0.1, 0.9], ["cataract", "normal"]), ([0.4, 0.5, 0.1], []), ([0.0, 0.51, 0.0], ["glaucoma"])],
)
def test_multi_label_names_every_likely_label(card: Card, probabilities: list[float], present: list[str]) -> None:
    given = answer(card.model_copy(update={"task": "multi-label"}), probabilities)
    read = Prediction.model_validate(given)
    assert read.present == present
    assert [entry.label for entry in read.probabilities] == LABELS
    assert [entry.probability for entry in read.probabilities] == pytest.approx(probabilities)


def test_other_tasks_have_one_class(card: Card) -> None:
    given = answer(card, [0.2, 0.7, 0.1])
    assert "present" not in given
    assert given["label"] == "glaucoma"


def test_csv_has_the_likely_labels(card: Card) -> None:
    several = card.model_copy(update={"task": "multi-label"})
    rows = [answer(several, [0.6, 0.1, 0.9]), answer(several, [0.1, 0.1, 0.1])]
    text = write(cast(Model, SimpleNamespace(card=several)), rows, "csv")
    assert [row["present"] for row in csv.DictReader(io.StringIO(text))] == ["cataract;normal", ""]
