"""The kinds of sources: a folder, a CSV manifest, and Parquet (``parquet_source.py``)."""

import csv
import io
import mimetypes
import os
from collections.abc import Iterator
from pathlib import PurePosixPath

from service.scoring.errors import ScoringError
from service.scoring.items import Item, Kind, Source
from service.scoring.listing import Listing
from service.scoring.parquet_source import ParquetSource
from service.scoring.trees import Tree, locate

FILE = "file"
"""The column of a manifest with the names of the files."""
OWN_SUFFIXES = frozenset({".dcm", ".dicom", ".jp2", ".webp"})


class FileSource:
    """A folder or a manifest: a file for each entry."""

    def __init__(self, tree: Tree, address: str, listing: Listing, kind: Kind) -> None:
        self.tree = tree
        self.address = address
        self.listing = listing
        self.kind = kind
        self.reads = tree.reads

    def items(self, start: int, stop: int) -> Iterator[Item]:
        for name, carried in self.listing.rows(start, stop):
            yield Item(name, carried, lambda name=name: self.tree.read(name))  # type: ignore[misc]


def open_source(source: str, *, image_column: str | None = None, id_column: str | None = None) -> Source:
    """Find out what a source is, and list it.

    Args:
        source: A folder, a CSV manifest, a Parquet file or a folder of them; a path or an address of fsspec.
        image_column: The column of a Parquet file with the images, if its name is none of the usual ones.
        id_column: The column with their names, likewise.

    Raises:
        ScoringError: if it is none of these, is empty, or can't be read.
    """
    tree, name = locate(source)
    address = tree.address if name is None else f"{tree.address}/{name}"
    if name is None:
        names = sorted(tree.names(), key=os.fsencode)
        tables = [name for name in names if name.lower().endswith(".parquet")]
        if not tables:
            if not names:
                raise ScoringError(f"{address} holds no files: name the folder of the images")
            return FileSource(tree, address, Listing.of((name,) for name in names), "folder")
        if image := next((name for name in names if is_named_like_an_image(name)), None):
            raise ScoringError(
                f"{address} holds Parquet files and images ({tables[0]}, {image}): name one or the other as the source"
            )
        return ParquetSource(tree, address, tables, image_column=image_column, id_column=id_column)
    if name.lower().endswith(".csv"):
        return FileSource(tree, address, manifest(tree, name, address), "manifest")
    with tree.open(name) as stream:
        if stream.read(4) == b"PAR1":
            return ParquetSource(tree, address, [name], image_column=image_column, id_column=id_column)
    raise ScoringError(
        f"{address} is neither a CSV manifest (.csv) nor a Parquet file: name the folder of the images, or use "
        "`python -m service predict` for single images"
    )


def manifest(tree: Tree, name: str, address: str) -> Listing:
    """Read a CSV file with a column ``file``, relative to its folder. The other columns are carried along as text.

    Raises:
        ScoringError: if it has no such column, a column twice, or a line of another length.
    """
    columns: list[str] = []

    def rows() -> Iterator[list[str | None]]:
        with tree.open(name) as stream, io.TextIOWrapper(stream, "utf-8-sig", newline="") as text:
            reader = csv.reader(text)
            header = next(reader, [])
            if header.count(FILE) != 1 or len(set(header)) != len(header):
                raise ScoringError(
                    f"{address} needs one column `{FILE}` and no column twice; its columns are: {', '.join(header)}"
                )
            place = header.index(FILE)
            yield [*header[:place], *header[place + 1 :]]
            for line in reader:
                if not line:
                    continue
                if len(line) != len(header) or not line[place]:
                    raise ScoringError(
                        f"{address}, line {reader.line_num}: {len(header)} values are needed, `{FILE}` among them, and "
                        f"there are {len(line)}"
                    )
                yield [line[place], *line[:place], *line[place + 1 :]]

    try:
        found = rows()
        columns = [str(column) for column in next(found)]
        listing = Listing.of(found, columns)
    except UnicodeDecodeError as error:
        raise ScoringError(f"{address} is not UTF-8 ({error}): save it as CSV with UTF-8") from None
    except csv.Error as error:
        raise ScoringError(f"{address} is not a CSV file ({error})") from None
    except OSError as error:
        raise ScoringError(f"{address} can't be read ({error.strerror or error})") from None
    if not len(listing):
        raise ScoringError(f"{address} lists no files")
    return listing


def is_named_like_an_image(name: str) -> bool:
    """Whether somebody would expect an image behind a name."""
    kind, _ = mimetypes.guess_type(name)
    return bool(kind and kind.startswith("image/")) or PurePosixPath(name).suffix.lower() in OWN_SUFFIXES
