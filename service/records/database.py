"""The engine: which database, and the options that make a committed record durable."""

import os
import sqlite3
from pathlib import Path

import orjson
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError

from service.records.errors import RecordsError

BUSY_S = 5
"""How long a connection waits for another writer of the same SQLite file, or for PostgreSQL."""
READ_ONLY = "retina_read_only"
EXAMPLES = "sqlite:////var/lib/retina-srm/records.db or postgresql://user:password@host/database"


def default_url() -> str:
    """SQLite where a user's programs keep their state (XDG Base Directory Specification)."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return f"sqlite:///{Path(state) / 'retina-srm' / 'records.db'}"


def open_engine(address: str) -> Engine:
    """Return an engine for a SQLite file or a PostgreSQL database. It does not connect yet.

    Raises:
        RecordsError: if the address is not one of these, or if the driver of PostgreSQL is missing. The text does not
            repeat the address, because it may contain a password.
    """
    try:
        url = make_url(address)
    except (ArgumentError, ValueError):
        raise RecordsError(f"RETINA_RECORDS_URL is not a database's address, such as {EXAMPLES}") from None
    if url.drivername in ("sqlite", "sqlite+pysqlite"):
        return sqlite_engine(url)
    if url.drivername in ("postgresql", "postgres", "postgresql+psycopg"):
        return postgres_engine(url)
    raise RecordsError(
        f"RETINA_RECORDS_URL begins with {url.drivername!r}: records are kept in SQLite or PostgreSQL, {EXAMPLES}"
    )


def sqlite_engine(url: URL) -> Engine:
    if not url.database or url.database == ":memory:":
        raise RecordsError(f"RETINA_RECORDS_URL names no file, and records in memory would be lost: {EXAMPLES}")
    try:
        Path(url.database).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise RecordsError(f"RETINA_RECORDS_URL: the folder of {url.database} can't be made: {error}") from None
    engine = create_engine(
        url,
        connect_args={"timeout": BUSY_S},
        json_serializer=to_json,
        json_deserializer=orjson.loads,
        hide_parameters=True,
    )

    @event.listens_for(engine, "connect")
    def on_connect(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None  # the BEGIN of the driver itself comes too late for a consistent transaction
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}").close()

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        # A transaction that reads first and writes later fails at once if another one has written in between.
        read_only = connection.get_execution_options().get(READ_ONLY, False)
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")

    return engine


def postgres_engine(url: URL) -> Engine:
    limits = {"connect_timeout": BUSY_S, "tcp_user_timeout": 1000 * BUSY_S}
    try:
        engine = create_engine(
            url.set(drivername="postgresql+psycopg"),
            connect_args={name: value for name, value in limits.items() if name not in url.query},
            pool_pre_ping=True,  # so that the first commit after a restart of the database succeeds too
            json_serializer=to_json,
            json_deserializer=orjson.loads,
            hide_parameters=True,
        )
    except ImportError:
        raise RecordsError("PostgreSQL needs its driver: pip install 'retina-srm[postgres]'") from None

    @event.listens_for(engine, "connect")
    def on_connect(connection: object, _: object) -> None:
        # A server may be set to answer COMMIT before the data are on disk. A stricter setting is kept.
        with connection.cursor() as cursor:  # type: ignore[attr-defined]
            cursor.execute(
                "SELECT set_config('synchronous_commit', 'on', false)"
                " WHERE current_setting('synchronous_commit') = 'off'"
            )
        connection.commit()  # type: ignore[attr-defined]

    return engine


def to_json(value: object) -> str:
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY).decode()
