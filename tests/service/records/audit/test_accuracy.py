"""The figures of the audit against scikit-learn, torchmetrics and SciPy; its periods against a calendar."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from models.card import Task
from service.__main__ import app
from service.records.audit.accuracy import Figures, audit
from service.records.audit.periods import Period
from service.records.record import ModelFacts, Record
from service.records.store import Store
from tests.conftest import LABELS
from tests.service.records.facts import FACTS, RecordMaker

torch = pytest.importorskip("torch", reason="the figures are compared with libraries of training")

from scipy.stats import binomtest  # noqa: E402
from sklearn.metrics import accuracy_score, brier_score_loss  # noqa: E402
from torchmetrics.functional.classification import (  # noqa: E402
    binary_calibration_error,
    multiclass_calibration_error,
)

CASES = 120
START = datetime(2026, 10, 15, 23, 30, tzinfo=UTC)


def fill(store: Store, make_record: RecordMaker, model: ModelFacts, seed: int) -> tuple[list[Record], NDArray, NDArray]:
    """Write a record every 8 hours and feed back two of three; return records, probabilities and truth (N, K)."""
    random = np.random.default_rng(seed)
    if model.task == "multi-label":
        probabilities = random.uniform(0, 1, (CASES, 3)).astype(np.float32)
        truth = (random.uniform(size=(CASES, 3)) < probabilities**0.7).astype(int)
    else:
        probabilities = random.dirichlet([0.7] * 3, CASES).astype(np.float32)
        truth = np.eye(3, dtype=int)[[random.choice(3, p=row / row.sum()) for row in probabilities.astype(float)]]
    records = [
        make_record(tuple(row), time=START + timedelta(hours=8 * index), model=model)
        for index, row in enumerate(probabilities)
    ]
    store.write(records)
    for index, (record, row) in enumerate(zip(records, truth, strict=True)):
        if index % 3:
            labels = [label for label, there in zip(LABELS, row, strict=True) if there]
            if index % 4 == 0:  # a mistake, corrected by what follows
                store.add_feedback(record.id, record.time, [LABELS[0]], None)
            store.add_feedback(record.id, record.time, labels, None)
    return records, probabilities, truth


def check(figures: Figures, probabilities: NDArray, truth: NDArray, *, several: bool) -> None:
    """Compare with figures of other libraries on the cases with feedback."""
    below_one = torch.from_numpy(probabilities).clamp(max=1 - 1e-7)
    if several:
        accuracy = accuracy_score(truth, probabilities > 0.5)
        ece = binary_calibration_error(below_one.ravel(), torch.from_numpy(truth).ravel(), n_bins=15)
        brier = brier_score_loss(truth.ravel(), probabilities.ravel())
    else:
        label = truth.argmax(1)
        accuracy = accuracy_score(label, probabilities.argmax(1))
        ece = multiclass_calibration_error(below_one, torch.from_numpy(label), num_classes=3, n_bins=15)
        brier = brier_score_loss(label, probabilities, labels=[0, 1, 2], scale_by_half=False)
    right = round(accuracy * len(truth))
    interval = binomtest(right, len(truth)).proportion_ci(method="wilson")
    assert figures.fed_back == len(truth)
    assert figures.accuracy == pytest.approx(accuracy)
    assert figures.interval == pytest.approx((interval.low, interval.high))
    assert figures.ece == pytest.approx(float(ece), abs=1e-6)
    assert figures.brier == pytest.approx(brier, abs=1e-6)


@pytest.mark.parametrize("by", ["week", "month"])
@pytest.mark.parametrize("task", ["multi-class", "multi-label"])
def test_figures_of_each_period(store: Store, make_record: RecordMaker, by: Period, task: Task) -> None:
    records, probabilities, truth = fill(store, make_record, replace(FACTS, task=task), seed=1)
    form = "%Y-%m" if by == "month" else "%G-W%V"
    periods = np.array([record.time.strftime(form) for record in records])
    told = np.arange(CASES) % 3 != 0
    *parts, whole = audit(store, by=by)
    assert [figures.period for figures in parts] == sorted(set(periods))
    assert len(parts) >= 2
    for figures in parts:
        mine = periods == figures.period
        assert figures.predictions == mine.sum()
        check(figures, probabilities[mine & told], truth[mine & told], several=task == "multi-label")
    assert (whole.period, whole.predictions) == (None, CASES)
    check(whole, probabilities[told], truth[told], several=task == "multi-label")


def test_models_and_a_day_can_be_chosen(store: Store, make_record: RecordMaker) -> None:
    records, probabilities, truth = fill(store, make_record, FACTS, seed=1)
    other = ModelFacts("grey", "10", "sha256:" + "0" * 64, "ordinal", tuple(LABELS))
    fill(store, make_record, other, seed=2)
    store.write([make_record(model=ModelFacts("grey", "9", other.digest, "ordinal", other.labels))])
    whole = [figures for figures in audit(store, by="month") if figures.period is None]
    assert [(figures.model, figures.version) for figures in whole] == [("colour", "2"), ("grey", "9"), ("grey", "10")]
    assert whole[1][5:] == (0, None, None, None, None)
    since = datetime(2026, 11, 10, tzinfo=UTC)
    [figures] = [row for row in audit(store, by="month", model="colour", since=since) if row.period is None]
    late = np.array([record.time >= since for record in records])
    assert figures.predictions == late.sum()
    told = late & (np.arange(CASES) % 3 != 0)
    check(figures, probabilities[told], truth[told], several=False)


def test_the_command_prints_a_table_and_json(
    store: Store, address: str, make_record: RecordMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, make_record, FACTS, seed=1)
    expected = audit(store, by="week", since=datetime(2026, 11, 1, tzinfo=UTC))
    monkeypatch.setenv("RETINA_RECORDS_URL", address)
    options = ["audit", "--by", "week", "--since", "2026-11-01", "--model", "colour"]
    done = CliRunner().invoke(app, [*options, "--json"])
    assert done.exit_code == 0, done.output
    given = [row | {"interval": tuple(row["interval"])} for row in json.loads(done.stdout)]
    assert [Figures(**row) for row in given] == expected
    table = CliRunner(env={"COLUMNS": "80"}).invoke(app, options).stdout
    assert max(map(len, table.splitlines())) <= 80
    for figures in expected:
        assert figures.accuracy is not None
        line = next(line for line in table.splitlines() if f" {figures.period or 'all'} " in line)
        assert f"{figures.accuracy:.3f}".removeprefix("0") in line
        assert f" {figures.fed_back} (" in line
