"""What other processes do to the files that workers share."""

import random
import time
from multiprocessing.sharedctypes import SynchronizedArray
from multiprocessing.synchronize import Barrier, Event
from pathlib import Path
from queue import Queue

from service.http.problems import ProblemError
from service.settings import Settings
from service.workers.buckets import SharedLimiter
from service.workers.in_flight import SharedInFlight
from service.workers.seat import Seat
from service.workers.shared_file import SharedFile

CALLERS = ("a", "b", "c")


def come_and_go(
    settings: Settings, seat: Seat, start: Barrier, seconds: float, seen: "SynchronizedArray[int]", most: Queue[object]
) -> None:
    """Enter and leave, and note in ``seen`` who is in: all, then each caller. Report the most of each."""
    requests, chance, found = SharedInFlight(settings, seat), random.Random(seat.index), [0] * len(seen)
    start.wait(30)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        which = chance.randrange(len(CALLERS))
        try:
            requests.enter(CALLERS[which])
        except ProblemError:
            continue
        with seen.get_lock():
            for index in (0, which + 1):
                seen[index] += 1
                found[index] = max(found[index], seen[index])
        time.sleep(chance.choice((0, 0, 1e-4)))
        with seen.get_lock():
            for index in (0, which + 1):
                seen[index] -= 1
        requests.leave(CALLERS[which])
    most.put(found)


def take_all(rate: float, burst: int, seat: Seat, start: Barrier, seconds: float, passed: Queue[object]) -> None:
    """Ask without a pause. Report when a request passed."""
    limiter, found = SharedLimiter(rate, burst, seat), list[float]()
    start.wait(30)
    end = time.monotonic() + seconds
    while (now := time.monotonic()) < end:
        if limiter.take("a", now).allowed:
            found.append(now)
    passed.put(found)


def until_killed(settings: Settings, seat: Seat, running: Event) -> None:
    """Change both files without a pause."""
    requests, limiter, number = SharedInFlight(settings, seat), SharedLimiter(1, 5, seat), 0
    running.set()
    while True:
        caller = str(number % 40)
        requests.enter(caller)
        requests.enter("both")
        requests.leave(caller)
        limiter.take(str(number))
        requests.leave("both")
        number += 1


def hold(path: Path, running: Event) -> None:
    """Hold a file until killed."""
    with SharedFile(path, 8):
        running.set()
        time.sleep(60)


def hold_once(path: Path) -> None:
    with SharedFile(path, 8):
        pass
