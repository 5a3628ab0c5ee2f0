"""The list of what a source holds: names and the columns that are carried along, in Arrow's buffers."""

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa

CARRIED = "source_"
"""How the names of carried columns begin in the results, so that they never meet a column of the results."""
CHUNK = 10_000

Row = tuple[str, tuple[str | None, ...]]
"""A name, and the values of the carried columns."""


class Listing:
    """Names in order, with the carried columns.

    A name takes its own bytes and eight more, so 100,000 take some megabytes.

    Args:
        names: Binary, because file names need not be UTF-8.
        carried: A column of text for each carried column, as long as ``names``.
    """

    def __init__(self, names: Any, carried: dict[str, Any]) -> None:
        self.columns = tuple(carried)
        self.table = pa.table({"name": names, **{f"{CARRIED}{name}": values for name, values in carried.items()}})

    @classmethod
    def of(cls, rows: Iterable[Sequence[str | None]], columns: Sequence[str] = ()) -> "Listing":
        """Make a list of rows: the name first, then a value for each column."""
        schema = pa.schema([("name", pa.large_binary()), *((column, pa.large_string()) for column in columns)])
        chunks, waiting = [], list[Sequence[str | None]]()

        def pack() -> None:
            names = [os.fsencode(row[0] or "") for row in waiting]
            others = [[row[index + 1] for row in waiting] for index in range(len(columns))]
            arrays = [pa.array(v, field.type) for v, field in zip([names, *others], schema, strict=True)]
            chunks.append(pa.record_batch(arrays, schema=schema))
            waiting.clear()

        for row in rows:
            waiting.append(row)
            if len(waiting) == CHUNK:
                pack()
        pack()
        table = pa.Table.from_batches(chunks, schema)
        return cls(table["name"], {column: table[column] for column in columns})

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def rows(self, start: int, stop: int) -> Iterator[Row]:
        """Yield the rows from ``start`` to before ``stop``."""
        for batch in self.table.slice(start, stop - start).to_batches(max_chunksize=CHUNK):
            names, *others = (column.to_pylist() for column in batch.columns)
            for index, name in enumerate(names):
                yield os.fsdecode(name), tuple(values[index] for values in others)

    def digest(self) -> str:
        """SHA-256 over the names and the carried columns, in order."""
        digest = hashlib.sha256(repr(self.columns).encode())
        for name, carried in self.rows(0, len(self)):
            for value in (name, *carried):
                content = None if value is None else os.fsencode(value)
                digest.update(b"-" if content is None else b"%d:%s" % (len(content), content))
        return f"sha256:{digest.hexdigest()}"
