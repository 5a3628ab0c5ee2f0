"""``python -m service records upgrade`` and ``python -m service audit``. SQLAlchemy is imported when they run."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import orjson
import typer
from rich import box
from rich.console import Console
from rich.table import Table

from service.records.errors import RecordsError, UnavailableError
from service.settings import load_settings

if TYPE_CHECKING:
    from service.records.audit import Figures
    from service.records.store import Store

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
) -> None:
    """Print accuracy and calibration over time, from the feedback on prediction records.

    Accuracy has Wilson's 95 % interval. ECE and Brier score say how far the probabilities can be trusted: 0 is
    perfect. Cases with feedback are seldom a fair sample of all: see docs/records.md.
    """
    from service.records.audit import audit as measure

    store = existing_store()
    start = None if since is None else since.replace(tzinfo=UTC)
    try:
        figures = measure(store, by=by, model=model, since=start)
    except UnavailableError as error:
        raise RecordsError(f"{store.engine.url.render_as_string()} can't be reached: {error}") from None
    finally:
        store.close()
    if as_json:
        print(orjson.dumps([row._asdict() for row in figures], option=orjson.OPT_INDENT_2).decode())
    elif figures:
        Console().print(table(figures))
    else:
        print("There are no prediction records" + (" that fit these options." if model or since else "."))


def existing_store() -> "Store":
    """Open an existing database. Reading must not create one if the address is mistyped."""
    from service.records.opening import engine_of
    from service.records.store import Store

    engine = engine_of(load_settings())
    file = engine.url.database
    if engine.dialect.name == "sqlite" and file is not None and not Path(file).is_file():
        raise RecordsError(f"There are no prediction records in {file}: check RETINA_RECORDS_URL, and RETINA_RECORDS")
    return Store(engine)


def table(figures: "list[Figures]") -> Table:
    """A line for each period, and a bold line for each model over the whole time. It fits 80 columns."""
    shown = Table("model", "period", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("records", "fed back", "accuracy (95 %)", "ECE", "Brier"):
        shown.add_column(column, justify="right", no_wrap=True)
    for row in figures:
        accuracy = short(row.accuracy)
        if row.interval is not None:
            accuracy += " ({}-{})".format(*map(short, row.interval))
        part = f"{row.fed_back:,} ({row.fed_back / row.predictions:.0%})"
        last = row.period is None
        shown.add_row(
            f"{row.model} {row.version}",
            row.period or "all",
            f"{row.predictions:,}",
            part,
            accuracy,
            short(row.ece),
            short(row.brier),
            style="bold" if last else "",
            end_section=last,
        )
    return shown


def short(value: float | None) -> str:
    """Three decimals without the leading zero, as in the figures of this project."""
    return "-" if value is None else f"{value:.3f}".removeprefix("0")
