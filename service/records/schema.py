"""The schema of the database: migrated by Alembic, or checked."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, text

from service.records.errors import RecordsError

UPGRADE = "python -m service records upgrade"
LOCK = 0x7265636F726473  # "records" as a number; any number that nothing else locks would do


def configuration() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return config


def latest() -> str:
    """The revision that this version of the service writes and reads."""
    head = ScriptDirectory.from_config(configuration()).get_current_head()
    assert head is not None
    return head


def current(connection: Connection) -> str | None:
    """The revision of a database. None if it contains no records yet."""
    return MigrationContext.configure(connection).get_current_revision()


def check(connection: Connection) -> None:
    """Check that a database has the latest schema.

    Raises:
        RecordsError: if it is empty, or if its schema is older or newer.
    """
    found, expected = current(connection), latest()
    if found == expected:
        return
    refuse_newer(found)
    state = "is empty" if found is None else f"has the schema {found}"
    raise RecordsError(f"The records' database {state}, and this version needs {expected}: run {UPGRADE}")


def refuse_newer(found: str | None) -> None:
    if found is None:
        return
    try:
        ScriptDirectory.from_config(configuration()).get_revision(found)
    except CommandError:
        raise RecordsError(
            f"The records' database has the schema {found}, which a newer version of the service made: use that version"
        ) from None


def upgrade(engine: Engine) -> tuple[str | None, str]:
    """Migrate a database to the latest schema, in one transaction. Return the revisions before and after.

    Processes that start at the same time take turns.

    Raises:
        RecordsError: if it was made by a newer version.
    """
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        before = current(connection)
        refuse_newer(before)
        config = configuration()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        return before, latest()
