"""Runs that are killed at a chosen moment: at each write of rows, and before and after each step of giving a name.

    python -m tests.service.scoring.killed REPOSITORY SOURCE FOLDER ROWS MOMENT...

A process is forked for each moment, so that the imports are paid for once. It kills itself with SIGKILL at that moment;
at moment 0 never. Its results are in ``FOLDER/MOMENT``. One line is printed for each: how the process ended.
"""

import io
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console

from service.scoring.command import score_source
from service.settings import Settings


class Moments:
    """Counts moments, and kills this process at one of them."""

    def __init__(self, last: int) -> None:
        self.left = last

    def one(self) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **options: Any) -> Any:
            self.one()
            result = call(*arguments, **options)
            self.one()
            return result

        return counted


def run(repository: str, source: str, to: str, rows: int, moment: int) -> int:
    """Score, with the steps counted."""
    moments = Moments(moment)
    os.fsync = moments.around(os.fsync)
    Path.replace = moments.around(Path.replace)  # type: ignore[method-assign]
    Path.unlink = moments.around(Path.unlink)  # type: ignore[method-assign]
    pq.ParquetWriter.write_batch = moments.around(pq.ParquetWriter.write_batch)
    settings = Settings(model_repository=Path(repository), provider="cpu", threads=2)
    options: dict[str, Any] = {"version": "1", "frame": None, "image_column": None, "id_column": None}
    return score_source(source, to, settings, model="colour", rows=rows, **options, stderr=Console(file=io.StringIO()))


def main(repository: str, source: str, folder: str, rows: str, *moments: str) -> None:
    pa.array([""])  # imports pandas, where there is one
    for moment in moments:
        child = os.fork()
        if not child:
            os.dup2(2, 1)  # the summary
            os._exit(run(repository, source, f"{folder}/{moment}", int(rows), int(moment)))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
