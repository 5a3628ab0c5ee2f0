"""A database that does not answer makes a commit fail in a bounded time, so that the recorder can go on."""

import socket
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from service.records.database import open_engine
from service.records.errors import UnavailableError
from service.records.schema import upgrade
from service.records.store import Store
from tests.service.records.facts import RecordMaker
from tests.service.records.postgres import database


def test_a_sqlite_file_that_another_process_writes_to(
    tmp_path: Path, make_record: RecordMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.records.database.BUSY_S", 0.3)
    path = tmp_path / "records.db"
    store = Store(open_engine(f"sqlite:///{path}"))
    upgrade(store.engine)
    store.write([make_record()])
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    start = time.monotonic()
    with pytest.raises(UnavailableError, match="locked"):
        store.write([make_record()])
    assert 0.2 < time.monotonic() - start < 3
    other.execute("ROLLBACK")
    store.write([make_record()])
    other.close()
    store.close()


def test_a_postgresql_address_that_takes_connections_and_says_nothing(
    make_record: RecordMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("psycopg")
    monkeypatch.setattr("service.records.database.BUSY_S", 2)  # libpq waits no less
    with socket.create_server(("127.0.0.1", 0)) as silent:
        store = Store(open_engine(f"postgresql://127.0.0.1:{silent.getsockname()[1]}/records"))
        with ThreadPoolExecutor(1) as threads:
            written = threads.submit(store.write, [make_record()])
            try:
                assert isinstance(written.exception(timeout=10), UnavailableError)
            finally:
                silent.close()  # so that a write that still waits ends
        store.close()


def test_postgresql_s_limits_reach_its_driver_and_the_address_may_set_others(postgres: str) -> None:
    with database(postgres) as address:
        for query, limits in (("", ("5", "5000")), ("connect_timeout=7&tcp_user_timeout=9000", ("7", "9000"))):
            engine = open_engine(address + ("&" if "?" in address else "?") + query if query else address)
            connection = engine.raw_connection()
            given = connection.driver_connection.info.get_parameters()  # type: ignore[union-attr]
            assert (given["connect_timeout"], given["tcp_user_timeout"]) == limits
            connection.close()
            engine.dispose()
