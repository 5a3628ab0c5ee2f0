"""``python -m service records upgrade`` and ``python -m service audit``. SQLAlchemy is imported when they run."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import orjson
import typer
from rich.console import Console

from service.records.errors import RecordsError, UnavailableError
from service.settings import load_settings

if TYPE_CHECKING:
    from service.records.audit.drift import Drift
    from service.records.store import Store

ALARM = 3
"""Exit status of ``audit --drift --alarm`` where a period has drifted; 1 is an error and 2 a wrong option."""

app = typer.Typer(help="The database of prediction records (RETINA_RECORDS_URL).", no_args_is_help=True)


@app.callback()
def records() -> None:
    """Maintain the database of prediction records (RETINA_RECORDS_URL)."""


@app.command()
def upgrade() -> None:
    """Create or migrate the tables. PostgreSQL needs it before the first start and after an update."""
    from service.records.opening import engine_of
    from service.records.schema import upgrade as migrate
    from service.records.store import reachable

    engine = engine_of(load_settings())
    address = engine.url.render_as_string()
    try:
        with reachable():
            before, after = migrate(engine)
    except UnavailableError as error:
        raise RecordsError(f"{address} can't be reached: {error}") from None
    print(f"{address}: " + (f"is at {after} already" if before == after else f"{before or 'empty'} -> {after}"))


def audit(
    model: Annotated[str | None, typer.Option(help="Only this model.")] = None,
    since: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Only predictions since this day (UTC).")
    ] = None,
    by: Annotated[Literal["week", "month"], typer.Option(help="Length of a period.")] = "month",
    as_json: Annotated[bool, typer.Option("--json", help="JSON output, for programs.")] = False,
    drift: Annotated[bool, typer.Option("--drift", help="Whether the style of the images changed, instead.")] = False,
    alarm: Annotated[bool, typer.Option("--alarm", help="With --drift: exit status 3 if a period drifted.")] = False,
) -> None:
    """Print accuracy and calibration over time, from the feedback on prediction records.

    Accuracy has Wilson's 95 % interval. ECE and Brier score say how far the probabilities can be trusted: 0 is
    perfect. Cases with feedback are seldom a fair sample of all: see docs/records.md. With --drift, no feedback is
    needed: the style shift of all images is compared with that of the validation images.
    """
    from service.records.audit import printing
    from service.records.audit.accuracy import Figures
    from service.records.audit.accuracy import audit as accuracy_of
    from service.records.audit.drift import drift as drift_of
    from service.storage.mirror import mirror_of

    if alarm and not drift:
        raise typer.BadParameter("--alarm needs --drift")
    settings, store = load_settings(), existing_store()
    start = None if since is None else since.replace(tzinfo=UTC)
    figures: list[Figures] = []
    drifts: list[Drift] = []
    try:
        if drift:
            mirror_of(settings)
            drifts = drift_of(store, settings.model_repository, by=by, model=model, since=start)
        else:
            figures = accuracy_of(store, by=by, model=model, since=start)
    except UnavailableError as error:
        raise RecordsError(f"{store.engine.url.render_as_string()} can't be reached: {error}") from None
    finally:
        store.close()
    if as_json:
        rows = drifts if drift else [row._asdict() for row in figures]
        print(orjson.dumps(rows, option=orjson.OPT_INDENT_2).decode())
    elif drifts:
        printing.show_drift(Console(), drifts)
    elif figures:
        Console().print(printing.accuracy_table(figures))
    else:
        print("There are no prediction records" + (" that fit these options." if model or since else "."))
    if alarm and any(row.verdict == "drifted" for row in drifts):
        raise typer.Exit(ALARM)


def existing_store() -> "Store":
    """Open an existing database. Reading must not create one if the address is mistyped."""
    from service.records.opening import engine_of
    from service.records.store import Store

    engine = engine_of(load_settings())
    file = engine.url.database
    if engine.dialect.name == "sqlite" and file is not None and not Path(file).is_file():
        raise RecordsError(f"There are no prediction records in {file}: check RETINA_RECORDS_URL, and RETINA_RECORDS")
    return Store(engine)
