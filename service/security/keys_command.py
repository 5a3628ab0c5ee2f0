"""``python -m service keys``: add, list and revoke API keys."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from models.wording import described
from service.security.key_file import KeyFileError, changing, read
from service.security.keys import new_key
from service.security.scopes import SCOPES
from service.settings import load_settings

app = typer.Typer(help="Add, list and revoke API keys.", no_args_is_help=True)

FileOption = Annotated[Path | None, typer.Option("--file", help="Key file; default: RETINA_KEYS_FILE.")]


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="Whose key it is: letters, digits, '.', '_' and '-'.")],
    scope: Annotated[
        list[str] | None, typer.Option(help=f"What it may do: {', '.join(SCOPES)}; repeat for several.")
    ] = None,
    expires: Annotated[str | None, typer.Option(help="Such as 90d, or a date such as 2030-01-31 (UTC).")] = None,
    file: FileOption = None,
) -> None:
    """Make a key and show it once. The default scope is predict. A running service accepts it at once."""
    now = datetime.now(UTC)
    with changing(key_file(file)) as entries:
        try:
            key, entry = new_key(name, scope or ["predict"], now, None if expires is None else until(expires, now))
        except ValidationError as error:
            [fault, *_] = described(error.errors(), got=repr)
            raise KeyFileError(f"No key is made: {fault}") from None
        entries.append(entry)
    typer.echo(key)
    typer.echo(f"Key {entry.id} of {name}: {', '.join(entry.scopes)}. It can't be shown again.", err=True)


@app.command("list")
def list_keys(file: FileOption = None) -> None:
    """List the keys, without their secrets."""
    now = datetime.now(UTC)
    table = Table("id", "name", "scopes", "status", "created", "expires", box=None)
    for entry in read(key_file(file))[0].keys:
        expires = f"{entry.expires:%Y-%m-%d %H:%M}" if entry.expires else "never"
        created = f"{entry.created:%Y-%m-%d %H:%M}"
        table.add_row(entry.id, entry.name, ",".join(entry.scopes), entry.status(now), created, expires)
    Console().print(table)


@app.command()
def revoke(
    key: Annotated[str, typer.Argument(help="A key's id, or a name for all keys of that name.")],
    file: FileOption = None,
) -> None:
    """Revoke a key, at once. Its entry stays, to show who had it."""
    path, now, ended = key_file(file), datetime.now(UTC), []
    with changing(path) as entries:
        for index, entry in enumerate(entries):
            if key in (entry.id, entry.name) and entry.revoked is None:
                entries[index] = entry.model_copy(update={"revoked": now})
                ended.append(entry.id)
        if not ended:
            raise KeyFileError(f"{path} holds no key with the id or name {key!r} that is not revoked already")
    typer.echo(f"Revoked: {', '.join(ended)}", err=True)


def key_file(given: Path | None) -> Path:
    path = given or load_settings().keys_file
    if path is None:
        raise KeyFileError("Which key file? Set RETINA_KEYS_FILE, for the service too, or give --file")
    return path


def until(text: str, now: datetime) -> datetime:
    """Parse the expiry of a key.

    Raises:
        KeyFileError: if the text is neither days nor a date, or if it is not in the future.
    """
    try:
        days = re.fullmatch(r"(\d{1,5})d", text)
        end = now + timedelta(days=int(days[1])) if days else datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise KeyFileError(f"--expires {text!r} is neither days, such as 90d, nor a date, such as 2030-01-31") from None
    end = end if end.tzinfo else end.replace(tzinfo=UTC)
    if end <= now:
        raise KeyFileError(f"--expires {text!r} is not in the future")
    return end
