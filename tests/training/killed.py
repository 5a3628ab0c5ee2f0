"""Fits in real processes that end by SIGKILL at a chosen moment."""

import multiprocessing
import os
import signal
from collections.abc import Callable
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import torch
import torch._dynamo  # the optimisers import it at their first step: once, not in each process

from training import files
from training.fitting import checkpoints, run_writer
from training.fitting.engine import fit
from training.lock import sole_writer
from training.recipe import Recipe


def processes() -> ForkServerContext:
    """A server that has imported training once, from which each process starts in a fraction of a second."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.training.killed"])
    return context


def fit_until_killed(recipe: Recipe, folder: Path, moment: str, number: int, resume: bool) -> None:
    """Fit, and kill this process the ``number``-th time that ``moment`` comes."""
    torch.set_num_threads(1)
    come = 0

    def count() -> None:
        nonlocal come
        come += 1
        if come == number:
            os.kill(os.getpid(), signal.SIGKILL)

    def before(owner: Any, name: str) -> None:
        whole: Callable[..., Any] = getattr(owner, name)

        def counted(*arguments: Any, **options: Any) -> Any:
            count()
            return whole(*arguments, **options)

        setattr(owner, name, counted)

    if moment == "step":  # amid an epoch, in the optimiser
        before(torch.optim.AdamW, "step")
    elif moment == "half written":

        def write_half(path: Path, content: bytes) -> None:
            if path.suffix == ".pt":
                path.with_name(f"{path.name}.part").write_bytes(content[: len(content) // 2])
                count()
            write_whole(path, content)

        write_whole = files.write_atomically
        checkpoints.write_atomically = run_writer.write_atomically = write_half  # type: ignore[attr-defined]
    elif moment == "after epoch":
        before(run_writer.RunWriter, "epoch")
    elif moment == "finish":
        before(run_writer.RunWriter, "finish")
    fit(recipe, folder, resume=resume, progress=False)


def run_process(context: ForkServerContext, *arguments: Any) -> int | None:
    """Exit code of :func:`fit_until_killed`: -9 when it was killed."""
    process = context.Process(target=fit_until_killed, args=arguments)
    process.start()
    process.join(120)
    if process.is_alive():
        process.kill()
        raise AssertionError("the process did not end")
    return process.exitcode


def die_and_leave_a_child(folder: Path, forked: Any, leave: Any) -> None:
    """Lock a folder, start a process as the loader of images does, and end by SIGKILL before it."""
    with sole_writer(folder):
        if os.fork() == 0:
            forked.set()
            leave.wait(60)
            os._exit(0)
        forked.wait(60)
        os.kill(os.getpid(), signal.SIGKILL)


def fit_until_told(recipe: Recipe, folder: Path, inside: Any, leave: Any) -> None:
    """Fit, and at the first step say so by one event and wait for the other."""
    torch.set_num_threads(1)
    whole = torch.optim.AdamW.step

    def waiting(*arguments: Any, **options: Any) -> Any:
        inside.set()
        leave.wait(100)
        return whole(*arguments, **options)

    torch.optim.AdamW.step = waiting  # type: ignore[method-assign]
    fit(recipe, folder, resume=True, progress=False)
