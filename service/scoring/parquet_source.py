"""Parquet files with the images in a column."""

import threading
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from service.scoring.errors import ScoringError
from service.scoring.items import Item, Kind
from service.scoring.listing import Listing
from service.scoring.trees import Tree

IMAGE_COLUMNS = ("image", "bytes")
ID_COLUMNS = ("id", "image_id", "name", "file", "file_name", "path")
BYTES = "bytes"
"""The field with the file's content where a column holds structures, as the data sets of Hugging Face do."""
ROWS_AT_ONCE = 16


class Columns(NamedTuple):
    """Which column of a schema is what."""

    image: str
    nested: bool
    """Whether the image is a structure with the field ``bytes``."""
    name: str | None
    """None: rows are named by file and number."""
    carried: tuple[str, ...]

    @property
    def leaf(self) -> str:
        return f"{self.image}.{BYTES}" if self.nested else self.image


class ParquetSource:
    """Rows of Parquet files. Parts that follow each other are read without a row read twice.

    Raises:
        ScoringError: if a file can't be read, or if there is no column of images.
    """

    kind: Kind = "parquet"
    reads = 1  # the rows of a file come one after another

    def __init__(
        self,
        tree: Tree,
        address: str,
        files: Sequence[str],
        *,
        image_column: str | None = None,
        id_column: str | None = None,
    ) -> None:
        self.tree = tree
        self.address = address
        self.files = list(files)
        self.rows_of: list[int] = []
        names, carried = [], list[Any]()
        self.columns: Columns | None = None
        for file in self.files:
            with tree.open(file) as stream, self.speaking(file), pq.ParquetFile(stream) as parquet:
                found = columns_of(parquet.schema_arrow, f"{tree.address}/{file}", image_column, id_column)
                if self.columns is None:
                    self.columns = found
                elif found != self.columns:
                    raise ScoringError(
                        f"{tree.address}/{file} has other columns than {self.files[0]}: score them apart, with a "
                        "results folder for each"
                    )
                wanted = [*([found.name] if found.name else []), *found.carried]
                table = parquet.read(columns=wanted)
                rows = parquet.metadata.num_rows
                self.rows_of.append(rows)
                if found.name is None:
                    given = pa.array([f"{file}#{row}" for row in range(rows)], pa.large_string())
                else:
                    given = text_of(table[found.name])
                names.append(given.cast(pa.large_binary()))
                carried.append(pa.table({name: text_of(table[name]) for name in found.carried}))
        assert self.columns is not None, "a source has at least one file"
        if not sum(self.rows_of):
            raise ScoringError(f"{address} has no rows")
        together = pa.concat_tables(carried)
        chunks = [chunk for name in names for chunk in (name.chunks if hasattr(name, "chunks") else [name])]
        self.listing = Listing(
            pa.chunked_array(chunks, pa.large_binary()), {name: together[name] for name in self.columns.carried}
        )
        self.rows: Rows | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Without the rows that are being read: a copy in another process reads by itself."""
        return vars(self) | {"rows": None}

    def items(self, start: int, stop: int) -> Iterator[Item]:
        if self.rows is None or self.rows.stop != start:
            self.rows = Rows(self.batches(start), start)
        rows = self.rows
        rows.stop = stop
        for index, (name, carried) in enumerate(self.listing.rows(start, stop), start):
            yield Item(name, carried, lambda index=index: self.read(rows, index))  # type: ignore[misc]

    def read(self, rows: "Rows", index: int) -> bytes:
        with self.speaking():
            return rows.read(index)

    def batches(self, start: int) -> Iterator[Any]:
        """Yield the images from a row on, some at a time."""
        assert self.columns is not None
        first = 0
        for file, count in zip(self.files, self.rows_of, strict=True):
            if first + count <= start:
                first += count
                continue
            # Without these two a whole column chunk, which may be gigabytes of images, would be in memory.
            with self.tree.open(file) as stream, pq.ParquetFile(stream, pre_buffer=False, buffer_size=2**20) as parquet:
                for group in range(parquet.num_row_groups):
                    rows = parquet.metadata.row_group(group).num_rows
                    if first + rows <= start:
                        first += rows
                        continue
                    for batch in parquet.iter_batches(ROWS_AT_ONCE, row_groups=[group], columns=[self.columns.leaf]):
                        images = batch.column(0).field(BYTES) if self.columns.nested else batch.column(0)
                        done = min(max(start - first, 0), len(images))
                        first += len(images)
                        if done < len(images):
                            yield images[done:]

    def speaking(self, file: str | None = None) -> "Speaking":
        return Speaking(self.address if file is None else f"{self.tree.address}/{file}")


class Speaking:
    """Turns the errors of reading Parquet into a sentence."""

    def __init__(self, address: str) -> None:
        self.address = address

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, (pa.ArrowException, OSError)):
            raise ScoringError(f"{self.address} can't be read as Parquet ({error}): check that the file is whole")


class Rows:
    """Images in the order of the files, for threads that ask for them about in that order."""

    def __init__(self, batches: Iterator[Any], start: int) -> None:
        self.batches = batches
        self.next = start
        self.stop = start
        self.lock = threading.Lock()
        self.waiting: dict[int, Any] = {}

    def read(self, index: int) -> bytes:
        """Return the bytes of a row, once; none where the value is null."""
        with self.lock:
            while index not in self.waiting:
                batch = next(self.batches, None)
                if batch is None:
                    raise OSError("it has fewer rows than at the start of the run")
                for value in batch:
                    self.waiting[self.next] = value
                    self.next += 1
            value = self.waiting.pop(index)
        return value.as_py() or b""


def columns_of(schema: Any, address: str, image_column: str | None, id_column: str | None) -> Columns:
    """Find the columns of images and of names; others of simple types are carried along.

    Raises:
        ScoringError: if there is no column of images, or no column of a name that was asked for.
    """
    names = list(schema.names)
    for column in (image_column, id_column):
        if column is not None and column not in names:
            raise ScoringError(f"{address} has no column {column!r}; its columns are: {', '.join(names)}")
    image = image_column or next((name for name in IMAGE_COLUMNS if name in names), None)
    kind = schema.field(image).type if image else None
    nested = kind is not None and pa.types.is_struct(kind) and kind.get_field_index(BYTES) >= 0
    if image is None or not (nested or is_bytes(kind)):
        raise ScoringError(
            f"{address} has no column `{'` or `'.join(IMAGE_COLUMNS)}` of bytes: name it with --image-column; the "
            f"columns are: {', '.join(names)}"
        )
    name = id_column or next(
        (name for name in ID_COLUMNS if name in names and is_simple(schema.field(name).type)), None
    )
    carried = tuple(n for n in names if n not in (image, name) and is_simple(schema.field(n).type))
    return Columns(image, nested, name, carried)


def is_bytes(kind: Any) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def is_simple(kind: Any) -> bool:
    """Whether a value is one word, number or time, which has a text."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return not (pa.types.is_nested(kind) or is_bytes(kind) or pa.types.is_fixed_size_binary(kind))


def text_of(column: Any) -> Any:
    """A column as text; null stays null."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return column.cast(pa.large_string())
