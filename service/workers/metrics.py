"""What ``/metrics`` of any worker tells: the series of the whole service, by prometheus_client's multiprocess mode.

Each worker writes its values to files of its **seat**, which are mapped into its memory. So a kill loses nothing that
was counted, and the worker that takes the seat counts on. By the usual way, files by process, each restart would leave
files behind, which fill the folder and make each reading slower.

A model that no living worker serves has no series, as in one process. Its counters stay in the files, because a file
can't lose a key. If the model comes back, they go on from where they were. So nothing is counted twice.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge, values
from prometheus_client.metrics_core import Metric
from prometheus_client.mmap_dict import MmapedDict, mmap_key
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from service.workers.seat import Seat

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
PID, INFO = "retina_worker_pid", "retina_model_info"
RESTARTS = "retina_worker_restarts"
RESTARTS_KEY = mmap_key(RESTARTS, f"{RESTARTS}_total", [], [], "Workers that were started in place of one that ended.")


def metrics_folder(folder: Path) -> Path:
    """Where workers keep their values, in the folder that they share."""
    return folder / "metrics"


def share(seat: Seat | None) -> None:
    """Keep the values of all series that this process makes from now on in files of its seat; in memory without one.

    The worker that had the seat before must have ended: two that write the same files would spoil them.
    """
    if seat is None:
        values.ValueClass = values.MutexValue
        os.environ.pop(VARIABLE, None)
        return
    metrics_folder(seat.folder).mkdir(exist_ok=True)
    forget_worker(seat.folder, seat.index)
    os.environ[VARIABLE] = str(metrics_folder(seat.folder))
    values.ValueClass = values.MultiProcessValue(lambda: seat.index)


def forget_worker(folder: Path, index: int) -> None:
    """Remove what was true of a worker only while it ran, such as its requests in flight. Its counts stay.

    For the supervisor, as soon as the worker has ended.

    Args:
        folder: the folder of the seat.
        index: of the seat.
    """
    for path in metrics_folder(folder).glob(f"gauge_*_{index}.db"):
        with suppress(FileNotFoundError):
            path.unlink()


class Restarts:
    """``retina_worker_restarts_total``, for the supervisor. It is there from the start, so that a rate sees the first.

    Args:
        folder: the folder of the seats.
    """

    def __init__(self, folder: Path) -> None:
        metrics_folder(folder).mkdir(exist_ok=True)
        self.file = MmapedDict(str(metrics_folder(folder) / "counter_supervisor.db"))
        self.total, _ = self.file.read_value(RESTARTS_KEY)

    def count(self) -> None:
        """A worker was started in place of one that ended."""
        self.total += 1
        self.file.write_value(RESTARTS_KEY, self.total, 0.0)


class Together(Collector):
    """The series of all workers: for each family of this worker's registry, the samples of every seat's files.

    Adds ``retina_workers``, and for each living worker the ``process_`` series with the label ``worker``, its seat.
    They are not sums: CPU seconds that fall when a worker dies would be read as a new start of the whole counter.
    """

    def __init__(self, registry: CollectorRegistry, seat: Seat) -> None:
        self.registry = registry
        self.folder = metrics_folder(seat.folder)
        Gauge("retina_workers", "Workers that run.", registry=registry, multiprocess_mode="livesum").set(1)
        Gauge(PID, "Read here only.", registry=None, multiprocess_mode="liveall").set(os.getpid())

    def collect(self) -> Iterator[Metric]:
        """Read the files of all seats. Takes milliseconds."""
        # A file is empty for a moment when it is made.
        files = [str(path) for path in self.folder.glob("*.db") if size(path)]
        families = {family.name: family for family in MultiProcessCollector.merge(files)}
        pids = families.pop(PID, None)
        keep_served(families)
        for own in self.registry.collect():
            yield families.pop(own.name, own)
        yield from families.values()
        if pids is not None:
            yield from processes({sample.labels["pid"]: int(sample.value) for sample in pids.samples})


def size(path: Path) -> int:
    """The bytes of a file; 0 if it was removed meanwhile."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def keep_served(families: dict[str, Metric]) -> None:
    """Leave out the samples of versions that no living worker serves: those without a ``retina_model_info`` of 1."""
    served: set[tuple[str, str] | None] = {None}
    if (info := families.get(INFO)) is not None:
        info.samples = [sample for sample in info.samples if sample.value]
        served.update(version_of(sample) for sample in info.samples)
    for family in families.values():
        family.samples = [sample for sample in family.samples if version_of(sample) in served]


def version_of(sample: Sample) -> tuple[str, str] | None:
    """The model and version that a sample is of. None if it is of no version."""
    labels = sample.labels
    return (labels["model"], labels["version"]) if "model" in labels and "version" in labels else None


def processes(pids: dict[str, int]) -> Iterator[Metric]:
    """Memory, CPU seconds, open files and start of each process, as prometheus_client reads them of its own in /proc.

    Args:
        pids: process ids by worker. One that has ended has no samples.
    """
    families: dict[str, Metric] = {}
    for worker, pid in sorted(pids.items(), key=lambda item: int(item[0])):
        for family in ProcessCollector(pid=partial(int, pid), registry=None).collect():
            into = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            for sample in family.samples:
                into.add_sample(sample.name, {"worker": worker}, sample.value)
    yield from families.values()
