"""The tables of the results: their columns, and the files of a part."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from models.card import Card
from service.scoring.counts import Counts
from service.scoring.listing import CARRIED
from service.scoring.results import COUNTS, Results, failed_name, part_name

OTHER = "other"
"""The reason of a file that is not an image and is not named like one. It does not count as failed."""
PROBABILITY = "probability_"
"""How the names of the labels' columns begin. A label has a column of its own: then a query reads the labels that it
asks for alone and can leave out whole row groups, and nobody has to know the order of the labels."""


class Scored(NamedTuple):
    """An image with its answer."""

    name: str
    carried: tuple[str | None, ...]
    sha256: str
    answer: dict[str, Any]
    """As the API gives it, without gates."""
    gates: NDArray[np.float32]
    """(all gates,)"""


class Failed(NamedTuple):
    """An entry without an answer."""

    name: str
    carried: tuple[str | None, ...]
    sha256: str | None
    """None where there were no bytes."""
    reason: str
    """A short code, such as ``damaged``."""
    sentence: str


class Tables:
    """The columns of the results of one model and one source.

    Args:
        card: The card of the model.
        carried: The names of the source's columns that are carried along.
        facts: The metadata of every file.
    """

    def __init__(self, card: Card, carried: Sequence[str], facts: dict[str, str]) -> None:
        self.labels = card.labels
        self.gates = sum(block.channels for block in card.blocks)
        own = [(f"{CARRIED}{name}", pa.string()) for name in carried]
        self.scored = pa.schema(
            [
                ("name", pa.string()),
                ("sha256", pa.string()),
                ("label", pa.string()),
                ("probability", pa.float32()),
                *((f"{PROBABILITY}{label}", pa.float32()) for label in card.labels),
                ("present", pa.list_(pa.string())),
                ("prediction_set", pa.list_(pa.string())),
                ("style_shift", pa.float32()),
                ("style_verdict", pa.string()),
                ("scope", pa.string()),
                ("format", pa.string()),
                ("width", pa.int32()),
                ("height", pa.int32()),
                ("frame", pa.int32()),
                ("frames", pa.int32()),
                ("laterality", pa.string()),
                *([("gates", pa.list_(pa.float32(), self.gates))] if self.gates else []),
                *own,
            ],
            metadata=facts,
        )
        self.failed = pa.schema(
            [("name", pa.string()), ("sha256", pa.string()), ("reason", pa.string()), ("sentence", pa.string()), *own],
            metadata=facts,
        )

    def of_scored(self, rows: Sequence[Scored]) -> Any:
        """Make a record batch."""
        answers = [row.answer for row in rows]
        images = [answer["image"] for answer in answers]
        shifts = [answer["style_shift"] or {} for answer in answers]
        sets = [answer["prediction_set"] for answer in answers]
        by_label = [[entry["probability"] for entry in answer["probabilities"]] for answer in answers]
        columns: list[Any] = [
            [row.name for row in rows],
            [row.sha256 for row in rows],
            [answer["label"] for answer in answers],
            [answer["probability"] for answer in answers],
            *([values[index] if values else None for values in by_label] for index in range(len(self.labels))),
            [answer.get("present") for answer in answers],
            [found and found["labels"] for found in sets],
            [shift.get("score") for shift in shifts],
            [shift.get("verdict") for shift in shifts],
            [answer["scope"] and answer["scope"]["verdict"] for answer in answers],
            *([image[name] for image in images] for name in ("format", "width", "height", "frame", "frames")),
            [image["laterality"] for image in images],
        ]
        arrays = [pa.array(values, field.type) for values, field in zip(columns, self.scored, strict=False)]
        if self.gates:
            flat = np.concatenate([row.gates for row in rows])
            arrays.append(pa.FixedSizeListArray.from_arrays(pa.array(flat), self.gates))
        return pa.record_batch([*arrays, *self.of_carried(rows)], schema=self.scored)

    def of_failed(self, rows: Sequence[Failed]) -> Any:
        """Make a record batch."""
        columns = [[row.name for row in rows], [row.sha256 for row in rows]]
        columns += [[row.reason for row in rows], [row.sentence for row in rows]]
        arrays = [pa.array(values, pa.string()) for values in columns]
        return pa.record_batch([*arrays, *self.of_carried(rows)], schema=self.failed)

    def of_carried(self, rows: Sequence[Scored] | Sequence[Failed]) -> list[Any]:
        count = sum(name.startswith(CARRIED) for name in self.failed.names)
        return [pa.array([row.carried[index] for row in rows], pa.string()) for index in range(count)]


class Part:
    """The two files of a part, as long as it is not finished. One thread uses it at a time.

    The file with the images gets its name last, so a part that has it is finished.
    """

    def __init__(self, results: Results, number: int, tables: Tables) -> None:
        self.results = results
        self.number = number
        self.tables = tables
        self.counts = Counts()
        self.images = Draft(results.draft(part_name(number)), tables.scored)
        self.failures: Draft | None = None

    def write(self, scored: Sequence[Scored], failed: Sequence[Failed]) -> None:
        """Add rows."""
        others = sum(row.reason == OTHER for row in failed)
        self.counts += Counts(
            len(scored),
            len(failed) - others,
            others,
            Counter(row.answer["label"] or "" for row in scored),
            Counter(row.answer["style_shift"]["verdict"] for row in scored if row.answer["style_shift"]),
        )
        if scored:
            self.images.writer.write_batch(self.tables.of_scored(scored))
        if failed:
            if self.failures is None:
                self.failures = Draft(self.results.draft(failed_name(self.number)), self.tables.failed)
            self.failures.writer.write_batch(self.tables.of_failed(failed))

    def finish(self) -> Counts:
        """Bring the part to the disk, and return its counts."""
        failed = failed_name(self.number)
        if self.failures is None:
            (self.results.folder / failed).unlink(missing_ok=True)  # of a run that was killed between the two names
        else:
            self.failures.writer.close()
            self.results.publish(self.failures.path, failed)
        self.images.writer.add_key_value_metadata({COUNTS.decode(): json.dumps(self.counts.as_json())})
        self.images.writer.close()
        self.results.publish(self.images.path, part_name(self.number))
        return self.counts


class Draft:
    """A Parquet file that is being written. Gates and probabilities differ in every row: a dictionary gains nothing."""

    def __init__(self, path: Path, schema: Any) -> None:
        self.path = path
        words = [name for name in schema.names if name not in ("sha256", "sentence", "name", "gates")]
        words = [name for name in words if not pa.types.is_floating(schema.field(name).type)]
        self.writer = pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=words)
