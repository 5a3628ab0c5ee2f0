"""Train several runs, each in its own process. If one fails or is killed, the others continue."""

import multiprocessing
import signal
import time
from collections import deque
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NamedTuple

from training.errors import TrainingError
from training.fitting.engine import fit
from training.recipe import Recipe
from training.run import Run


class Job(NamedTuple):
    """A run to fit."""

    recipe: Recipe
    folder: Path


class Running(NamedTuple):
    job: Job
    process: BaseProcess
    fault: Connection
    started: float


def fit_all(
    jobs: Sequence[Job], *, workers: int, report: Callable[[str], None], progress: bool = False
) -> dict[Path, str]:
    """Fit all jobs, at most ``workers`` at once, and return the folders that failed with the reason.

    An interrupted run continues from its checkpoint, with its own device settings. With several workers each has one
    thread and no progress bar. An interruption ends the processes and loses no more than a kill does.
    """
    # A fork server imports torch once; and unlike a plain fork, its children may use CUDA.
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(method)
    if method == "forkserver":
        context.set_forkserver_preload([__name__])
    waiting, running, faults = deque(jobs), dict[int, Running](), dict[Path, str]()
    begun = done = 0
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                job = waiting.popleft()
                if Run(job.folder).begun():
                    job = job._replace(recipe=Run(job.folder).recipe())
                elif workers > 1:
                    job = job._replace(recipe=job.recipe.model_copy(update={"threads": 1}))
                receiver, sender = context.Pipe(duplex=False)
                process = context.Process(  # type: ignore[attr-defined]  # typeshed: not in the common base
                    target=work, args=(job, sender, progress and workers == 1)
                )
                process.start()
                sender.close()
                begun += 1
                report(f"[{begun}/{len(jobs)}] {job.folder}: fitting")
                running[process.sentinel] = Running(job, process, receiver, time.monotonic())
            for sentinel in wait(list(running)):
                assert isinstance(sentinel, int)
                finished = running.pop(sentinel)
                finished.process.join()
                done += 1
                took = f"after {time.monotonic() - finished.started:.0f} s ({done} of {len(jobs)} over)"
                reason = why_failed(finished)
                if reason is None:
                    report(f"{finished.job.folder}: finished {took}")
                else:
                    faults[finished.job.folder] = reason
                    report(f"{finished.job.folder}: FAILED {took}: {reason}")
    except KeyboardInterrupt:
        report(f"interrupted: {done} of {len(jobs)} runs have ended; the same command continues with the others")
        raise
    finally:
        for left in running.values():
            left.process.terminate()
        for left in running.values():
            left.process.join()
    return faults


def work(job: Job, fault: Connection, progress: bool) -> None:
    """Runs in the process: train, and send the error text if the user can correct the error."""
    try:
        fit(job.recipe, job.folder, resume=True, progress=progress)
    except TrainingError as error:
        fault.send(str(error))
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def why_failed(finished: Running) -> str | None:
    code = finished.process.exitcode
    if finished.fault.poll():
        try:
            return str(finished.fault.recv())
        except EOFError:
            pass  # nothing was sent: the exit code tells
    if code == 0:
        return None
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        hint = ": out of memory? A smaller batch_size or fewer --jobs may help" if name == "SIGKILL" else ""
        return f"the process was ended by {name}{hint}"
    return f"the process ended with exit code {code}; its traceback is above"
