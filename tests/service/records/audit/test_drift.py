"""``audit --drift`` on records in both databases, against the shipped package's card and against first records."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from models.card import StyleReference
from models.package import read_card
from service.__main__ import app
from service.records.audit.drift import Drift, drift
from service.records.record import ModelFacts
from service.records.store import Store
from service.settings import SHIPPED_REPOSITORY
from tests.service.records.facts import FACTS, RecordMaker

PACKAGE = SHIPPED_REPOSITORY / "oct" / "3" / "model.onnx"
OCT = replace(FACTS, name="oct", version="2", digest="sha256:" + hashlib.sha256(PACKAGE.read_bytes()).hexdigest())
JANUARY, FEBRUARY, MARCH = (datetime(2026, month, 1, tzinfo=UTC) for month in (1, 2, 3))


@pytest.fixture(scope="module")
def style() -> StyleReference:
    style = read_card(onnxruntime.InferenceSession(PACKAGE, providers=["CPUExecutionProvider"])).style
    assert style is not None
    return style


def like_validation(style: StyleReference, count: int, seed: int) -> NDArray[np.float64]:
    """Scores with the distribution of the validation images."""
    part = np.random.default_rng(seed).uniform(size=count)
    return np.interp(part, np.linspace(0, 1, 101), style.validation_quantiles)


def fill(
    store: Store, make: RecordMaker, model: ModelFacts, start: datetime, scores: Sequence[float | None] | NDArray
) -> None:
    """Write a record of another image every minute."""
    store.write(
        [
            replace(
                make(model=model, time=start + timedelta(minutes=index)),
                input_digest=f"sha256:{start.month:032x}{index:032x}",
                style_shift=None if score is None else float(score),
            )
            for index, score in enumerate(scores)
        ]
    )


def test_a_shifted_month_against_the_card(store: Store, make_record: RecordMaker, style: StyleReference) -> None:
    before, after = like_validation(style, 300, 1), like_validation(style, 300, 2)
    after = after + after.std()
    after[:20] = style.unlike_beyond + 1
    fill(store, make_record, OCT, JANUARY, before)
    fill(store, make_record, OCT, FEBRUARY, after)
    fill(store, make_record, OCT, MARCH, before[:58])
    first, second, third = drift(store, SHIPPED_REPOSITORY, by="month")
    assert [row.verdict for row in (first, second, third)] == ["stable", "drifted", "too few"]
    assert [row.period for row in (first, second, third)] == ["2026-01", "2026-02", "2026-03"]
    for row, scores in ((first, before), (second, after), (third, before[:58])):
        names = [style.verdict(float(score)) for score in scores]
        assert (row.images, row.without_score) == (len(scores), 0)
        assert row.unusual == pytest.approx(names.count("unusual") / len(names))
        assert row.unlike == pytest.approx(names.count("unlike") / len(names))
        assert row.reference is not None
        assert (row.reference.kind, row.reference.images) == ("validation", 155)
    assert (third.psi, third.psi_corrected, third.p_value) == (None, None, None)
    shares = np.histogram(after, [-np.inf, *style.validation_quantiles[10:100:10], np.inf])[0] / 300
    by_deciles = ((shares - 0.1) * np.log(np.maximum(shares, 0.5 / 300) / 0.1)).sum()
    assert second.psi == pytest.approx(by_deciles, rel=0.05)  # 155 images fill ten bins only about evenly
    assert second.psi is not None
    assert second.psi_corrected == pytest.approx(second.psi - 9 * (1 / 155 + 1 / 300))


def test_without_the_package_first_records_stand_in(store: Store, make_record: RecordMaker, tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    fill(store, make_record, FACTS, JANUARY, random.normal(size=120))
    fill(store, make_record, FACTS, FEBRUARY, random.normal(size=120))
    fill(store, make_record, FACTS, MARCH, random.normal(1, size=120))
    rows = drift(store, tmp_path, by="month")
    assert [row.verdict for row in rows] == ["reference", "reference", "drifted"]
    for row in rows:
        assert row.reference is not None
        assert (row.reference.kind, row.reference.images) == ("first records", 240)
        assert row.reference.periods == ("2026-01", "2026-02")
        assert (row.unusual, row.unlike) == (None, None)
    assert drift(store, tmp_path, by="month", since=MARCH) == rows[2:]


def test_too_few_records_and_no_package(store: Store, make_record: RecordMaker, tmp_path: Path) -> None:
    fill(store, make_record, FACTS, JANUARY, np.arange(199.0))
    [row] = drift(store, tmp_path, by="month")
    assert (row.images, row.verdict, row.psi, row.reference) == (199, "too few", None, None)


def test_each_version_and_digest_has_its_own_lines(
    store: Store, make_record: RecordMaker, style: StyleReference
) -> None:
    models = [OCT, replace(OCT, version="10"), replace(OCT, version="9"), replace(OCT, digest="sha256:" + "e" * 64)]
    for seed, model in enumerate(models):
        fill(store, make_record, model, JANUARY, like_validation(style, 210, seed))
    rows = drift(store, SHIPPED_REPOSITORY, by="month")
    assert [(row.version, row.digest[-1]) for row in rows] == [
        ("2", OCT.digest[-1]),
        ("2", "e"),
        ("9", OCT.digest[-1]),
        ("10", OCT.digest[-1]),
    ]
    assert [row.verdict for row in rows] == ["stable", "reference", "stable", "stable"]
    assert [row.images for row in rows] == [210] * 4
    fill(store, make_record, replace(OCT, name="other"), JANUARY, [0.5])
    assert drift(store, SHIPPED_REPOSITORY, by="month", model="oct") == rows


def test_records_without_a_score_and_repeated_images(store: Store, make_record: RecordMaker) -> None:
    fill(store, make_record, OCT, JANUARY, [0.5, None, 0.7, None, None])
    fill(store, make_record, OCT, JANUARY + timedelta(days=3), [0.5, None, 0.7])  # the same images again
    again = replace(make_record(model=OCT, time=JANUARY), input_digest=f"sha256:{1:032x}{0:032x}", frame=4)
    store.write([replace(again, style_shift=9.0)])  # another frame of the first
    [row] = drift(store, SHIPPED_REPOSITORY, by="month")
    assert (row.images, row.without_score) == (3, 3)
    assert row.unlike == pytest.approx(1 / 3)
    weeks = drift(store, SHIPPED_REPOSITORY, by="week")
    assert [(row.period, row.images, row.without_score) for row in weeks] == [("2026-W01", 3, 3)]
    fill(store, make_record, OCT, JANUARY + timedelta(days=4), [0.5, None])
    weeks = drift(store, SHIPPED_REPOSITORY, by="week")
    assert [(row.period, row.images, row.without_score) for row in weeks] == [("2026-W01", 3, 3), ("2026-W02", 1, 1)]


def test_only_records_without_a_score(store: Store, make_record: RecordMaker) -> None:
    fill(store, make_record, OCT, JANUARY, [None, None])
    [row] = drift(store, SHIPPED_REPOSITORY, by="month")
    assert (row.images, row.without_score, row.verdict, row.unusual) == (0, 2, "too few", None)


def test_the_command(
    store: Store, address: str, make_record: RecordMaker, style: StyleReference, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETINA_RECORDS_URL", address)
    monkeypatch.setenv("COLUMNS", "80")
    fill(store, make_record, OCT, JANUARY, like_validation(style, 100, 1))
    fill(store, make_record, OCT, FEBRUARY, [*(like_validation(style, 1100, 2) + 1), None])
    fill(store, make_record, replace(OCT, version="123", digest=FACTS.digest), JANUARY, np.linspace(0, 1, 200))
    expected = drift(store, SHIPPED_REPOSITORY, by="month")
    done = CliRunner().invoke(app, ["audit", "--drift", "--json"])
    assert done.exit_code == 0, done.output
    given = json.loads(done.stdout)
    assert [row["verdict"] for row in given] == ["stable", "drifted", "reference"]
    assert given[1]["reference"] == {"kind": "validation", "images": 155, "periods": []}
    assert [row["p_value"] for row in given] == [row.p_value for row in expected]
    assert [row.keys() for row in given] == [set(Drift.__dataclass_fields__)] * 3
    table = CliRunner().invoke(app, ["audit", "--drift"]).stdout
    assert max(map(len, table.splitlines()[:-2])) <= 80
    [line] = [line for line in table.splitlines() if " 2026-02 " in line]
    assert line.split()[:4] == ["oct", "2", "2026-02", "1,100"]
    assert line.split()[-2:] == ["<.001", "drifted"]
    assert table.splitlines()[-2:] == [
        f"oct 2 ({OCT.digest[7:15]}): compared with the 155 validation images of its card. 1 image without a score.",
        "oct 123 (cccccccc): compared with its first records (2026-01, 200 images): no package with its digest.",
    ]


def test_an_alarm_is_an_exit_status(
    store: Store, address: str, make_record: RecordMaker, style: StyleReference, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETINA_RECORDS_URL", address)
    fill(store, make_record, OCT, JANUARY, like_validation(style, 100, 1) + 2)
    fill(store, make_record, OCT, FEBRUARY, like_validation(style, 100, 2))
    fill(store, make_record, OCT, MARCH, [9.0] * 20)  # too few
    asked = ["audit", "--drift", "--alarm"]
    done = CliRunner().invoke(app, asked)
    assert (done.exit_code, "drifted" in done.stdout) == (3, True)
    assert CliRunner().invoke(app, [*asked, "--json"]).exit_code == 3
    assert CliRunner().invoke(app, [*asked, "--since", "2026-02-01"]).exit_code == 0
    assert CliRunner().invoke(app, ["audit", "--drift"]).exit_code == 0
    assert CliRunner().invoke(app, ["audit", "--alarm"]).exit_code == 2
    assert CliRunner().invoke(app, [*asked, "--model", "other"]).stdout.startswith("There are no prediction records")
