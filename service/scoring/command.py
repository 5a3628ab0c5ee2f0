"""``python -m service score``: what it checks before it starts, and what it says at its end."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from service import NOTICE, __version__
from service.inference.execution import execution_of
from service.inference.runtime import Model
from service.offline import choose
from service.scoring.counts import Counts
from service.scoring.errors import ScoringError
from service.scoring.items import Source
from service.scoring.progress import Shown, counted, summary
from service.scoring.results import Results, Run, metadata
from service.scoring.scorer import Scorer
from service.scoring.sources import open_source
from service.scoring.tables import Tables
from service.scoring.workers import Workers
from service.settings import Settings

DEFAULT_ROWS = 4096
STOPPED = 130
"""The exit status after Ctrl-C, as of a shell."""


def score_source(
    source: str,
    to: str,
    settings: Settings,
    *,
    model: str | None,
    version: str | None,
    rows: int | None,
    frame: int | None,
    image_column: str | None,
    id_column: str | None,
    workers: Workers | None = None,
    stderr: Console,
) -> int:
    """Score a source into a folder, and return the exit status: 0, 1 if entries failed, 130 after Ctrl-C.

    Args:
        workers: Those of a Ray cluster; None: this process does the work.

    Raises:
        ScoringError: if the run can't start or go on.
        UnknownModelError, PackageError: as of loading a model.
    """
    if "://" in to:
        raise ScoringError(f"{to}: the results are written to a folder of this machine; copy them from there")
    results = Results(Path(to).absolute())
    with results.alone():
        chosen = choose(settings, execution_of(settings), model, version)
        found = open_source(source, image_column=image_column, id_column=id_column)
        if found.kind != "manifest" and results.folder.is_relative_to(found.address):
            raise ScoringError(f"{to} lies in the source: name a folder outside it with --to")
        run = run_of(chosen, found, settings, rows or rows_before(results), frame)
        results.begin(run)
        return score(chosen, found, results, run, settings, stderr, workers)


def rows_before(results: Results) -> int:
    before = results.before()
    return before.rows if before else DEFAULT_ROWS


def run_of(model: Model, source: Source, settings: Settings, rows: int, frame: int | None) -> Run:
    """What the results of a model and a source are of."""
    return Run(
        model=model.name,
        version=model.version,
        digest=model.digest,
        source=source.address,
        images=len(source.listing),
        listing=source.listing.digest(),
        rows=rows,
        frame=frame,
        style_shift=settings.style_shift,
        out_of_scope=settings.out_of_scope,
        software=__version__,
    )


def facts_of(model: Model, run: Run) -> dict[str, str]:
    """The metadata of every file of the results."""
    blocks = [block.model_dump(include={"name", "offset", "channels"}) for block in model.card.blocks]
    return metadata(
        {
            "model": model.name,
            "version": model.version,
            "digest": model.digest,
            "labels": model.card.labels,
            "blocks": blocks,
            "source": run.source,
            "style_shift": run.style_shift,
            "software": run.software,
            "notice": NOTICE,
        }
    )


def score(
    model: Model,
    source: Source,
    results: Results,
    run: Run,
    settings: Settings,
    stderr: Console,
    workers: Workers | None = None,
) -> int:
    """Score the parts that are not finished, and print the summary of all."""
    finished = results.finished(run.parts)
    before = sum(finished.values(), Counts())
    waiting = [part for part in range(run.parts) if part not in finished]
    if finished:
        stderr.print(f"{len(finished)} of {run.parts} parts were finished before.", soft_wrap=True)
    tables = Tables(model.card, source.listing.columns, facts_of(model, run))
    start = time.perf_counter()
    stopped = False
    try:
        with stoppable(), Shown(stderr, run.images, before.entries) as shown:
            if workers is None:
                Scorer(model, settings, source, results, run, tables, shown.add).score(waiting)
            else:
                from service.scoring.on_ray import score_on_ray

                score_on_ray(model, settings, source, results, run, tables, waiting, workers, shown.add)
    except KeyboardInterrupt:
        stopped = True
    seconds = time.perf_counter() - start
    finished = results.finished(run.parts)
    if stopped:
        stderr.print(
            f"Stopped. {len(finished)} of {run.parts} parts are finished and kept; the same command goes on from "
            "there.",
            soft_wrap=True,
        )
        return STOPPED
    counts = sum(finished.values(), Counts())
    print(summary(counts, counts.entries - before.entries, seconds))
    if counts.failed:
        stderr.print(
            f"{counted(counts.failed, 'file')} could not be used: {results.folder}/failed-*.parquet says why.",
            style="red",
            markup=False,
            soft_wrap=True,
        )
    return 1 if counts.failed else 0


@contextmanager
def stoppable() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM raise KeyboardInterrupt. In the main thread, as signals go to no other."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.default_int_handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
