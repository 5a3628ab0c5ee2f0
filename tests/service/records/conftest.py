"""Both databases: a SQLite file and a real PostgreSQL server. A test that takes ``address`` runs on each."""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from service.records.database import open_engine
from service.records.record import ModelFacts, Record
from service.records.schema import upgrade
from service.records.store import Store
from tests.service.records.facts import FACTS, RecordMaker
from tests.service.records.postgres import database, server


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    with server() as options:
        yield options


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_address(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a database without tables."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'records.db'}"
        return
    with database(request.getfixturevalue("postgres")) as address:
        yield address


@pytest.fixture
def address(empty_address: str) -> str:
    """The address of a database with the latest schema."""
    engine = open_engine(empty_address)
    upgrade(engine)
    engine.dispose()
    return empty_address


@pytest.fixture
def store(address: str) -> Iterator[Store]:
    store = Store(open_engine(address))
    yield store
    store.close()


@pytest.fixture
def make_record() -> RecordMaker:
    def make(
        probabilities: tuple[float, ...] = (0.7, 0.2, 0.1),
        time: datetime = datetime(2026, 11, 24, 8, 15, 30, 123456, UTC),
        model: ModelFacts = FACTS,
    ) -> Record:
        values = np.array(probabilities, np.float32)
        return Record(
            id=uuid.uuid4(),
            time=time,
            model=model,
            input_digest="sha256:" + "1" * 64,
            frame=3,
            probabilities=values,
            label=model.labels[int(values.argmax())],
            style_shift=0.25,
            caller="clinic-a",
        )

    return make
