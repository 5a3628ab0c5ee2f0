"""kill -9 of the real service under load: every answer that left has its record, in both databases."""

import sqlite3
import threading
import uuid
from pathlib import Path

import httpx
import psycopg

from tests.conftest import ImageMaker
from tests.service.process import running

CONNECTIONS = 8
ANSWERS = 150


def ids_by_sql(address: str) -> set[uuid.UUID]:
    if address.startswith("sqlite"):
        with sqlite3.connect(address.removeprefix("sqlite:///")) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            return {uuid.UUID(row[0]) for row in connection.execute("SELECT id FROM predictions")}
    with psycopg.connect(address) as other:
        return {row[0] for row in other.execute("SELECT id FROM predictions")}


def test_no_answered_record_is_lost(repository: Path, address: str, make_image: ImageMaker) -> None:
    image, answered, enough = make_image(width=40, height=40), [], threading.Event()
    environment = {"RETINA_RECORDS": "required", "RETINA_RECORDS_URL": address, "RETINA_THREADS": "1"}
    with running(repository, **environment) as (process, base, _):

        def ask() -> None:
            with httpx.Client(base_url=base, timeout=30) as client:
                while True:
                    try:
                        response = client.post("/v1/models/colour/predict?weights=none", content=image)
                    except httpx.TransportError:  # killed
                        return
                    assert response.status_code == 200, response.text
                    answered.append(uuid.UUID(response.json()["predictions"][0]["record_id"]))
                    if len(answered) >= ANSWERS:
                        enough.set()

        threads = [threading.Thread(target=ask) for _ in range(CONNECTIONS)]
        for thread in threads:
            thread.start()
        assert enough.wait(60)
        process.kill()
        for thread in threads:
            thread.join(30)
    found = ids_by_sql(address)
    assert len(answered) >= ANSWERS
    assert set(answered) <= found
    assert len(found) - len(answered) <= CONNECTIONS  # at most one committed and not yet answered for each
