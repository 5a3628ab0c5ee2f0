"""``python -m training cache``. What it needs is imported when it runs."""

import typer

from training.console import console, tell

cache = typer.Typer(help="The decoded images and unpacked arrays that training keeps on disk.", no_args_is_help=True)


@cache.command("list")
def list_() -> None:
    """List the files of decoded images and unpacked arrays."""
    from rich.table import Column, Table

    from training.data.cache.folder import Index, cache_folder, entries

    folder = cache_folder()
    found = list(entries(folder))
    table = Table("written (UTC)", "images", "unreadable", "input", "MB", Column("of", overflow="fold"))
    for entry in sorted(found, key=lambda entry: entry.index.written):
        index = entry.index
        if isinstance(index, Index):
            spec = index.input
            content = f"{spec.width} x {spec.height} px, {spec.channels} ch, {spec.content}"
            images, unreadable = f"{len(index.images):,}", f"{len(index.unreadable):,}"
        else:
            content = f"unpacked {index.array}, {' x '.join(map(str, index.shape))}"
            images, unreadable = f"{index.shape[0]:,}" if index.shape else "", ""
        row = (images, unreadable, content, f"{entry.size / 1e6:,.1f}", index.source)
        table.add_row(f"{index.written:%Y-%m-%d %H:%M}", *row)
    if found:
        console.print(table)
    total = sum(entry.size for entry in found)
    tell(f"{folder}: {len(found)} file(s), {total / 1e6:,.1f} MB")


@cache.command()
def clear() -> None:
    """Remove all decoded images and unpacked arrays. The next command makes what it needs again."""
    from training.data.cache.folder import cache_folder
    from training.data.cache.folder import clear as clear_folder

    folder = cache_folder()
    freed = clear_folder(folder)
    tell(f"{folder}: {freed / 1e6:,.1f} MB removed")
