"""What it costs to hold limits over several workers: ``python -m tests.benchmarks.shared_limits``.

An operation here is what one request does: take from its bucket, enter, leave.
"""

import fcntl
import multiprocessing
import threading
import time
from collections.abc import Callable
from multiprocessing.synchronize import Barrier
from pathlib import Path
from queue import Queue
from tempfile import TemporaryDirectory
from timeit import repeat

from service.http.in_flight import InFlight
from service.security.rate_limit import Limiter
from service.settings import Settings
from service.workers.limits import limits_of
from service.workers.seat import Seat
from service.workers.shared_file import SharedFile

SETTINGS = Settings(rate_limit=50)
WORKERS, SECONDS, HOLDS = 4, 3.0, 600


def one_request(limiter: Limiter, requests: InFlight, caller: str) -> None:
    limiter.take(caller)
    requests.enter(caller)
    requests.leave(caller)


def alone(seat: Seat | None) -> float:
    """Microseconds of an operation while no other process runs."""
    limiter, requests = limits_of(SETTINGS, seat)
    return min(repeat(lambda: one_request(limiter, requests, "a"), number=10_000, repeat=9)) * 100


def beside_others(seat: Seat, start: Barrier, pause_s: float, took: Queue[list[float]]) -> None:
    (limiter, requests), found = limits_of(SETTINGS, seat), list[float]()
    start.wait()
    end = time.perf_counter() + SECONDS
    while (begin := time.perf_counter()) < end:
        one_request(limiter, requests, str(seat.index))
        found.append((time.perf_counter() - begin) * 1e6)
        if pause_s:
            time.sleep(pause_s)
    took.put(found)


def contended(folder: Path, pause_s: float) -> list[float]:
    """Microseconds of each operation while four processes do them, sorted."""
    context = multiprocessing.get_context("spawn")
    start, took = context.Barrier(WORKERS), context.Queue()
    workers = [
        context.Process(target=beside_others, args=(Seat(index, WORKERS, folder), start, pause_s, took))
        for index in range(WORKERS)
    ]
    for worker in workers:
        worker.start()
    found = sorted(one for _ in workers for one in took.get())
    for worker in workers:
        worker.join()
    return found


def held(hold: Callable[[], object], threads: int) -> list[float]:
    """Microseconds of each hold of the file while other threads want Python's lock, sorted."""
    ended = threading.Event()

    def busy() -> None:
        while not ended.is_set():
            sum(range(1000))

    others = [threading.Thread(target=busy) for _ in range(threads)]
    for other in others:
        other.start()
    found = []
    for _ in range(HOLDS):
        begin = time.perf_counter()
        hold()
        found.append((time.perf_counter() - begin) * 1e6)
        time.sleep(0.0005)
    ended.set()
    return sorted(found)


def quantiles(name: str, found: list[float]) -> None:
    median, p99, p999 = (found[int(len(found) * part)] for part in (0.5, 0.99, 0.999))
    print(f"{name}: {len(found)} times; median {median:.1f}, p99 {p99:.0f}, p99.9 {p999:.0f}, max {found[-1]:.0f} us")


def main() -> None:
    with TemporaryDirectory(dir="/dev/shm") as name:
        folder = Path(name)
        print(f"in process {alone(None):.2f} us, shared {alone(Seat(0, WORKERS, folder)):.2f} us")
        quantiles("4 processes without a pause", contended(folder, 0))
        quantiles("4 processes, 500 a second each at most", contended(folder, 0.002))
        file = SharedFile(folder / "file", 8)

        def by_fcntl() -> None:
            fcntl.flock(file.file, fcntl.LOCK_EX)
            file.bytes[0] = 1
            fcntl.flock(file.file, fcntl.LOCK_UN)

        def by_ours() -> None:
            with file:
                file.bytes[0] = 1

        for threads in (0, 1, 3):
            quantiles(f"{threads} busy threads, fcntl.flock", held(by_fcntl, threads))
            quantiles(f"{threads} busy threads, SharedFile", held(by_ours, threads))


if __name__ == "__main__":
    main()
