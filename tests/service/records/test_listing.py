"""Whose records a caller sees; pages and CSV of them over HTTP, with both databases."""

import csv
import io
import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr

from service.app import create_app
from service.records import listing
from service.records.record import ModelFacts, Record
from service.records.store import Store
from service.settings import Settings
from tests.conftest import LABELS, ImageMaker
from tests.service.records.facts import FACTS, RecordMaker
from tests.service.security.credentials import add_key, bearer

LIST = "/v1/predictions"
START = datetime(2026, 11, 1, 12, tzinfo=UTC)
GREY = ModelFacts("grey", "1", "sha256:" + "d" * 64, "multi-class", tuple(LABELS))


@pytest.fixture
def kept(settings: Settings, address: str) -> Settings:
    return settings.model_copy(update={"records": "required", "records_url": SecretStr(address)})


@pytest.fixture
def client(kept: Settings) -> Iterator[TestClient]:
    """A service without keys."""
    with TestClient(create_app(kept), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, dict[str, str]]:
    path = tmp_path / "keys.json"
    chosen = {"a": "predict", "b": "predict", "auditor": "admin"}
    return {name: bearer(add_key(path, name, scope)) for name, scope in chosen.items()}


@pytest.fixture
def guarded(kept: Settings, tmp_path: Path, keys: dict[str, dict[str, str]]) -> Iterator[TestClient]:
    """A service whose callers have keys."""
    app = create_app(kept.model_copy(update={"keys_file": tmp_path / "keys.json"}))
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def predict(client: TestClient, image: bytes, key: dict[str, str]) -> str:
    answer = client.post("/v1/models/colour/predict", content=image, headers=key)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["predictions"][0]["record_id"])


def ids(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [record["id"] for record in answer.json()["predictions"]]


def without_ids(answer: Any) -> dict[str, Any]:
    document: dict[str, Any] = answer.json()
    document["detail"] = document["detail"].replace(document["detail"].split()[5], "ID")
    return document | {"id": ""}


def test_a_record_belongs_to_its_caller(
    guarded: TestClient, keys: dict[str, dict[str, str]], make_image: ImageMaker
) -> None:
    mine, theirs = (predict(guarded, make_image(), keys[name]) for name in "ab")
    told = {"labels": ["normal"]}
    for name, own, other in (("a", mine, theirs), ("b", theirs, mine)):
        assert guarded.get(f"{LIST}/{own}", headers=keys[name]).status_code == 200
        refused = guarded.get(f"{LIST}/{other}", headers=keys[name])
        nothing = guarded.get(f"{LIST}/{uuid.uuid4()}", headers=keys[name])
        assert refused.status_code == 404
        assert without_ids(refused) == without_ids(nothing)
        refused = guarded.post(f"{LIST}/{other}/feedback", json=told, headers=keys[name])
        assert refused.status_code == 404
        assert ids(guarded.get(LIST, headers=keys[name])) == [own]
        assert guarded.get(LIST, headers={**keys[name], "Accept": "text/csv"}).text.count("sha256:") == 2
    seen = guarded.get(f"{LIST}/{theirs}", headers=keys["auditor"])
    assert (seen.status_code, seen.json()["feedback"]) == (200, [])
    assert set(ids(guarded.get(LIST, headers=keys["auditor"]))) == {mine, theirs}
    corrected = guarded.post(f"{LIST}/{mine}/feedback", json=told, headers=keys["auditor"])
    assert corrected.json()["feedback"][0]["caller"] == "auditor"


def test_where_nobody_has_a_key_everybody_sees_all(
    client: TestClient, store: Store, make_record: RecordMaker, make_image: ImageMaker
) -> None:
    record = make_record()  # of clinic-a, from a time with keys
    store.write([record])
    own = predict(client, make_image(), {})
    assert set(ids(client.get(LIST))) == {own, str(record.id)}


def test_with_keys_a_caller_without_one_sees_its_own(
    kept: Settings, make_image: ImageMaker, make_record: RecordMaker, store: Store
) -> None:
    store.write([make_record()])
    app = create_app(kept.model_copy(update={"auth": "none", "admin_key": SecretStr("bootstrap")}))
    with TestClient(app) as client:
        own = predict(client, make_image(), {})
        assert ids(client.get(LIST)) == [own]
        assert len(ids(client.get(LIST, headers=bearer("bootstrap")))) == 2


@pytest.fixture
def records(store: Store, make_record: RecordMaker) -> list[Record]:
    """Ten records, oldest first, an hour apart; the last two at the same time, and every third with feedback."""
    chances = ((0.7, 0.2, 0.1), (0.1, 0.8, 0.1))
    made = [
        make_record(chances[index % 2], START + timedelta(hours=min(index, 8)), GREY if index == 4 else FACTS)
        for index in range(10)
    ]
    store.write(made)
    for record in made[::3]:
        for label in ("cataract", "normal"):
            store.add_feedback(record.id, START + timedelta(days=1), [label], "clinic-a")
    return made


def newest(records: list[Record]) -> list[str]:
    return [str(record.id) for record in sorted(records, key=lambda record: (record.time, record.id), reverse=True)]


def test_filters(client: TestClient, records: list[Record]) -> None:
    expected: list[tuple[dict[str, str], list[Record]]] = [
        ({}, records),
        ({"model": "grey"}, [records[4]]),
        ({"model": "colour", "version": "2"}, records[:4] + records[5:]),
        ({"version": "3"}, []),
        ({"label": LABELS[1]}, records[1::2]),
        ({"feedback": "with"}, records[::3]),
        ({"feedback": "without"}, [record for record in records if record not in records[::3]]),
        ({"from": "2026-11-01T14:00:00Z"}, records[2:]),
        ({"from": "2026-11-01T23:00:00+09:00", "to": "2026-11-01T15:00:00"}, records[2:3]),
        ({"to": "2026-11-01"}, []),
        ({"label": LABELS[0], "feedback": "with", "from": "2026-11-01T13:00:00Z"}, [records[6]]),
    ]
    for query, wanted in expected:
        answer = client.get(LIST, params=query)
        assert ids(answer) == newest(wanted), query
        assert answer.json()["next"] is None
    [first, *_] = [record for record in client.get(LIST).json()["predictions"] if record["feedback"]]
    assert [entry["labels"] for entry in first["feedback"]] == [["cataract"], ["normal"]]


def test_pages_do_not_move_when_records_are_added(
    client: TestClient, records: list[Record], store: Store, make_record: RecordMaker
) -> None:
    found: list[str] = []
    cursor: dict[str, str] = {}
    for size in (1, 3, 3, 3):  # the first page ends between two records of the same time
        answer = client.get(LIST, params={"limit": str(size)} | cursor)
        assert len(ids(answer)) == size
        found += ids(answer)
        store.write([make_record(time=START + timedelta(days=2))])
        cursor = {"cursor": answer.json()["next"]}
    assert found == newest(records)
    assert cursor == {"cursor": None}


@pytest.mark.parametrize(
    "query", ["cursor=x", "cursor=%C3%A9", "limit=0", "limit=1001", "from=x", "feedback=maybe", "since=2026-01-01"]
)
def test_a_query_that_does_not_fit(client: TestClient, query: str) -> None:
    answer = client.get(f"{LIST}?{query}")
    assert answer.status_code == 422
    assert answer.json()["type"] == "urn:retina-srm:problem:invalid-parameter"


def test_csv_has_every_record(client: TestClient, records: list[Record], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "CHUNK", 3)
    answer = client.get(LIST, params={"format": "csv"})
    assert answer.headers["Content-Type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["id"] for row in rows] == newest(records)
    by_id = {str(record.id): record for record in records}
    for row in rows:
        record = by_id[row["id"]]
        assert datetime.fromisoformat(row["time"]) == record.time
        assert json.loads(row["probabilities"]) == pytest.approx(
            dict(zip(LABELS, record.probabilities.tolist(), strict=True))
        )
        assert float(row["probability"]) == pytest.approx(float(record.probabilities.max()))
        assert (row["model"], row["label"], row["caller"]) == (record.model.name, record.label, "clinic-a")
        assert row["feedback_labels"] == ("normal" if record in records[::3] else "")
    assert client.get(LIST, headers={"Accept": "text/csv;q=0.9"}).text == answer.text
    two = client.get(LIST, params={"format": "csv", "limit": "2"}).text
    assert two.splitlines() == answer.text.splitlines()[:3]
    assert "grey" in client.get(LIST, params={"format": "csv", "model": "grey"}).text.splitlines()[1]


def test_csv_holds_no_formula() -> None:
    assert listing.line(("=1+1", -0.5, None)) == "'=1+1,-0.5,\r\n"


def test_the_description_names_filters_and_kinds(client: TestClient) -> None:
    entry = client.get("/openapi.json").json()["paths"][LIST]["get"]
    names = {parameter["name"] for parameter in entry["parameters"]}
    assert names == {"model", "version", "label", "from", "to", "feedback", "limit", "cursor", "format"}
    assert entry["responses"]["200"]["content"].keys() == {"application/json", "text/csv"}
