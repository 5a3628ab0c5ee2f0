"""Parts scored by the workers of a Ray cluster, and written by this process as they come.

A worker scores a part as a run on one machine does, into a folder of its own, and sends the two files. So the files
are the same, only this process writes into the results, and a worker that dies leaves nothing there.
"""

import logging
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import pyarrow as pa
import ray
from ray.data import ActorPoolStrategy, DataContext
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from service.inference.execution import execution_of
from service.inference.repository import load_package
from service.inference.runtime import Model
from service.scoring.errors import ScoringError
from service.scoring.items import Source
from service.scoring.results import Results, Run, counts_of, failed_name, part_name
from service.scoring.scorer import Scorer
from service.scoring.tables import Tables
from service.scoring.workers import Workers
from service.settings import Settings

TRIES = 5
"""A run ends when so many workers have died with the same part: then it is the part that ends them."""
FILES = pa.schema([("part", pa.int64()), ("scored", pa.large_binary()), ("failed", pa.large_binary())])


class Job(NamedTuple):
    """What every worker needs, sent once to each machine."""

    package: bytes
    model: str
    version: str
    settings: Settings
    source: Source
    run: Run
    tables: Tables


class Attempts:
    """How often each part was begun, in a process of its own beside this one. Ray itself would try without end."""

    def __init__(self) -> None:
        self.begun = Counter[int]()

    def begin(self, part: int) -> int:
        self.begun[part] += 1
        return self.begun[part]


class Worker:
    """A loaded model that scores the parts it is given. Ray keeps one in each process of the pool."""

    def __init__(self, job: Any, attempts: Any, cpus: int) -> None:
        self.job: Job = ray.get(job[0])
        self.attempts = attempts
        self.folder = TemporaryDirectory(prefix="retina-score-")
        place = Path(self.folder.name)
        package = place / self.job.model / self.job.version / "model.onnx"
        package.parent.mkdir(parents=True)
        package.write_bytes(self.job.package)
        self.settings = self.job.settings.model_copy(
            update={"model_repository": place, "threads": cpus, "decode_threads": cpus}
        )
        self.model = load_package(package, execution_of(self.settings))
        self.results = Results(place / "results")

    def __call__(self, asked: Any) -> Any:
        """Score parts: a table with the column ``part`` in, the files of :data:`FILES` out."""
        rows = [self.score(part) for part in asked["part"].to_pylist()]
        return pa.Table.from_pylist(rows, schema=FILES)

    def score(self, part: int) -> dict[str, Any]:
        job = self.job
        if ray.get(self.attempts.begin.remote(part)) > TRIES:
            first, stop = job.run.span(part)
            raise ScoringError(
                f"{TRIES} workers have died with part {part}, which is entries {first + 1} to {stop} of the source: "
                "finished parts are kept; give the workers more memory, or take out the entry that ends them"
            )
        scorer = Scorer(self.model, self.settings, job.source, self.results, job.run, job.tables, lambda *_: None)
        scorer.score([part])
        scored, failed = (self.results.folder / name for name in (part_name(part), failed_name(part)))
        found = {
            "part": part,
            "scored": scored.read_bytes(),
            "failed": failed.read_bytes() if failed.exists() else None,
        }
        scored.unlink()
        failed.unlink(missing_ok=True)
        return found


def score_on_ray(
    model: Model,
    settings: Settings,
    source: Source,
    results: Results,
    run: Run,
    tables: Tables,
    parts: Sequence[int],
    workers: Workers,
    advance: Callable[[int, int], None],
) -> None:
    """Score parts on a cluster.

    The cluster is the one of ``RAY_ADDRESS`` or of this machine; without either, Ray starts one here.

    Raises:
        ScoringError: if the source can't be read any longer, the results can't be written, or a part ends its workers.
    """
    if not parts:
        return
    secrets = dict.fromkeys(("admin_key", "records_url"))  # of the service; no worker needs them
    job = Job(
        model.path.read_bytes(),
        model.name,
        model.version,
        settings.model_copy(update=secrets),
        source,
        run,
        tables,
    )
    try:
        for part, scored, failed in files_of(job, parts, workers):
            try:
                results.receive(failed_name(part), failed)
                results.receive(part_name(part), scored)
            except OSError as error:
                raise results.unwritable(error) from error
            found = counts_of(results.folder / part_name(part))
            advance(found.entries, found.failed)
    except RayError as error:
        raise as_scoring_error(error) from error


def files_of(job: Job, parts: Sequence[int], workers: Workers) -> Iterator[tuple[int, bytes, bytes | None]]:
    """Yield the number and the two files of each part, as they are finished."""
    if not ray.is_initialized():
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a cluster that starts here tells nobody
        try:
            ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.WARNING)
        except (OSError, RuntimeError) as error:
            raise ScoringError(
                f"no Ray cluster can be reached ({error}): check RAY_ADDRESS, and RAY_AUTH_MODE=token if "
                "the cluster asks for a token"
            ) from error
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    attempts = ray.remote(Attempts).options(num_cpus=0, scheduling_strategy=here).remote()
    context = DataContext.get_current()
    context.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)  # the command shows its own progress
    pool = ActorPoolStrategy(min_size=workers.least, max_size=workers.most, max_tasks_in_flight_per_actor=2)
    dataset = ray.data.from_items([{"part": part} for part in parts], override_num_blocks=len(parts)).map_batches(
        Worker,
        fn_constructor_kwargs={
            "job": [ray.put(job)],  # a reference in a list stays one
            "attempts": attempts,
            "cpus": max(1, int(workers.cpus)),
        },
        batch_size=1,
        batch_format="pyarrow",
        compute=pool,
        num_cpus=workers.cpus,
        num_gpus=workers.gpus,
    )
    batch: pa.Table
    for batch in dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
        for row in batch.to_pylist():
            yield row["part"], row["scored"], row["failed"]


def as_scoring_error(error: RayError) -> ScoringError:
    """The error of a worker in its own words, or what Ray says."""
    waiting: list[BaseException | None] = [error]
    while waiting:
        if (one := waiting.pop()) is None:
            continue
        if isinstance(one, ScoringError):
            return ScoringError(str(one))
        waiting += [getattr(one, "cause", None), one.__cause__, one.__context__]
    return ScoringError(f"Ray could not go on, finished parts are kept: {type(error).__name__}: {error}")
