"""Migrations in both databases: they make what the tables say, and a schema that does not fit is told."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect, text

from service.records import schema
from service.records.commands import upgrade
from service.records.database import open_engine
from service.records.errors import RecordsError
from service.records.store import Store
from service.records.tables import metadata

ROOT = Path(__file__).resolve().parents[3]


def test_the_command_makes_the_tables(
    empty_address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RETINA_RECORDS_URL", empty_address)
    command = [sys.executable, "-m", "service", "records", "upgrade"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"empty -> {schema.latest()}" in done.stdout
    upgrade()
    assert "already" in capsys.readouterr().out
    engine = open_engine(empty_address)
    assert set(inspect(engine).get_table_names()) == {"alembic_version", "feedback", "models", "predictions"}
    engine.dispose()


def test_migrations_make_what_the_tables_say(store: Store) -> None:
    with store.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_sqlite_is_made_at_the_first_use_and_postgres_by_command(empty_address: str) -> None:
    store = Store(open_engine(empty_address))
    if store.engine.dialect.name == "sqlite":
        store.prepare()
    else:
        with pytest.raises(RecordsError, match=r"is empty.*python -m service records upgrade"):
            store.prepare()
        schema.upgrade(store.engine)
    store.prepare()
    assert "predictions" in inspect(store.engine).get_table_names()
    store.close()


def test_a_newer_schema_is_left_alone(store: Store) -> None:
    with store.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(RecordsError, match=r"schema 9999, which a newer version"):
        Store(store.engine).prepare()
    with pytest.raises(RecordsError, match=r"schema 9999"):
        schema.upgrade(store.engine)


NEXT = """
import sqlalchemy as sa
from alembic import op
revision, down_revision = "9000", "0002"
def upgrade():
    op.add_column("predictions", sa.Column("added", sa.Integer))
    {then}
"""


@pytest.fixture
def with_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The migrations and one more, as a later version of the service brings it."""
    folder = tmp_path / "migrations"
    shutil.copytree(Path(schema.__file__).parent / "migrations", folder)
    config = schema.configuration()
    config.set_main_option("script_location", str(folder))
    monkeypatch.setattr(schema, "configuration", lambda: config)
    return folder / "versions" / "v9000_next.py"


def test_a_schema_that_is_behind(store: Store, with_next: Path) -> None:
    with_next.write_text(NEXT.format(then="pass"))
    newer = Store(store.engine)
    if store.engine.dialect.name == "sqlite":
        newer.prepare()
    else:
        with pytest.raises(RecordsError, match=r"has the schema 0002, and this version needs 9000: run"):
            newer.prepare()
        assert schema.upgrade(store.engine) == ("0002", "9000")
    columns = {column["name"] for column in inspect(store.engine).get_columns("predictions")}
    assert "added" in columns


def test_a_migration_that_fails_changes_nothing(store: Store, with_next: Path) -> None:
    with_next.write_text(NEXT.format(then="raise ValueError('broken')"))
    with pytest.raises(ValueError, match="broken"):
        schema.upgrade(store.engine)
    assert "added" not in {column["name"] for column in inspect(store.engine).get_columns("predictions")}
    with store.engine.connect() as connection:
        assert schema.current(connection) == "0002"
