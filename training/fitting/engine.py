"""Fit a recipe: MONAI's supervised engines on Ignite, with validation, checkpoints and curves."""

import errno
import logging
import os
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from monai.engines import SupervisedEvaluator
from monai.handlers import LrScheduleHandler, ValidationHandler
from monai.utils import set_determinism
from torch import nn

from models.architecture import Architecture
from models.cpu import usable_cpus
from models.provenance import InitialWeights
from training import distributed
from training.datasets.folder.kept import keep_images
from training.device import choose_device
from training.errors import TrainingError
from training.fitting.assembly import assemble, create_network
from training.fitting.epoch_validation import create_evaluator
from training.fitting.fine_tuning import freeze
from training.fitting.material import Material, gather_material, validation_images
from training.fitting.progress.curves import Curves, rewind, show_progress
from training.fitting.progress.epoch_log import EpochLog
from training.fitting.progress.tracking import Tracker, require_mlflow
from training.fitting.resume import TrainingState, refuse_changes
from training.fitting.run_writer import RunWriter
from training.fitting.start import start_from
from training.fitting.step import require_parts
from training.lock import sole_writer
from training.recipe import Recipe
from training.run import Run, RunFacts, library_versions, source_commit

FULL_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def silent(_: str) -> None:
    """Report nothing."""


def fit(
    recipe: Recipe,
    folder: Path,
    *,
    overwrite: bool = False,
    resume: bool = False,
    progress: bool = True,
    report: Callable[[str], None] = silent,
) -> Run:
    """Train a recipe's network into a run folder, choosing the checkpoint on validation data alone.

    With ``resume`` a run that was killed goes on from its newest whole checkpoint, to the same weights, bit for bit;
    one that had not begun begins, and a finished one is left as it is. Under ``torchrun`` every process calls this.
    Process 0 reports, line by line, what was understood of the data, and each epoch if it shows no progress bar.

    Raises:
        TrainingError: for whatever the user can put right: data, recipe, device, an existing run, a full disk.
    """
    if overwrite and resume:
        raise TrainingError("--overwrite and --resume contradict each other: give one of them")
    device = distributed.own_device(choose_device(recipe.device))
    with distributed.process_group(device), full_disk_is_a_sentence(folder):
        return train(recipe, folder, device, overwrite=overwrite, resume=resume, progress=progress, report=report)


def train(
    recipe: Recipe,
    folder: Path,
    device: torch.device,
    *,
    overwrite: bool,
    resume: bool,
    progress: bool,
    report: Callable[[str], None],
) -> Run:
    make_repeatable(recipe, device)
    if recipe.tracking == "mlflow":
        require_mlflow()
    require_parts(distributed.own_batch_size(recipe.batch_size), recipe.accumulate)  # a mistake shows now
    material = gather_material(recipe)
    for line in material.data.summary() if distributed.rank() == 0 else ():
        report(line)
    network = create_network(recipe, len(material.data.labels))
    fresh, initial = start_from(network, recipe, material.data.labels, material.images, material.normalisation)
    frozen = freeze(network, recipe.fine_tuning.freeze, fresh)
    facts = describe(material, network.architecture, initial)
    with sole_writer(folder):
        run, going_on = begin(recipe, folder, facts, overwrite=overwrite, resume=resume)
        if material.data.layout and not going_on and distributed.rank() == 0:
            keep_images(material.data, run.images_path)
        if going_on and run.finished():
            return run
        state = assemble(recipe, device, material, network, frozen)
        chosen: nn.Module = state.average.ema_model if state.average else network
        evaluator = create_evaluator(
            recipe, device, chosen, validation_images(recipe, material), material.normalisation, material.workers
        )
        writer = RunWriter(run, state, chosen, recipe.checkpoint_every)
        if going_on:
            writer.restore()
        run_epochs(recipe, state, evaluator, writer, progress=progress, report=report)
    return run


def begin(recipe: Recipe, folder: Path, facts: RunFacts, *, overwrite: bool, resume: bool) -> tuple[Run, bool]:
    """Start a run folder, or find the run to go on with; return it and whether it goes on.

    Raises:
        TrainingError: if the folder holds a run that shall be neither replaced nor gone on with, or another one, or
            if only some of the processes see a run there.
    """
    run = Run(folder)
    seen = distributed.gather_objects(run.begun())
    if resume and len(set(seen)) > 1:
        blind = ", ".join(str(number) for number, sees in enumerate(seen) if not sees)
        raise TrainingError(
            f"{folder} is not shared: process(es) {blind} of 0 to {len(seen) - 1} see no run there; name a folder with "
            "--run that all machines see"
        )
    going_on = resume and seen[0]
    if going_on:
        refuse_changes(run, recipe, facts)
    else:
        distributed.by_process_0(lambda: Run.create(folder, recipe, facts, overwrite=overwrite or resume))
    return run, going_on


def run_epochs(
    recipe: Recipe,
    state: TrainingState,
    evaluator: SupervisedEvaluator,
    writer: RunWriter,
    *,
    progress: bool,
    report: Callable[[str], None],
) -> None:
    """Train from where the state stands to the end, each epoch validated and recorded."""
    trainer = state.trainer
    for engine in (trainer, evaluator):
        engine.logger.setLevel(logging.CRITICAL)  # what it would say of an error is in the error
    with logged(recipe, writer, state, evaluator, progress=progress, report=report):
        schedule: Any = state.schedule  # MONAI names torch's old base
        LrScheduleHandler(schedule, print_lr=False, epoch_level=False).attach(trainer)
        ValidationHandler(1, evaluator).attach(trainer)
        writer.attach(evaluator)
        if not writer.complete():
            trainer.run()
        writer.finish()


def make_repeatable(recipe: Recipe, device: torch.device) -> None:
    """Seed every generator; on a GPU also choose deterministic algorithms, if the recipe asks for them."""
    # torch's own choice knows no CPU quota of a container. torchrun and others say theirs by the variable.
    if recipe.threads or "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(recipe.threads or usable_cpus())
    set_determinism(recipe.seed)
    # MONAI chooses cuDNN's deterministic kernels and forbids it to look for the fastest, whatever was asked for.
    torch.backends.cudnn.deterministic = recipe.deterministic
    torch.backends.cudnn.benchmark = not recipe.deterministic
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS has no determinism without it
        torch.use_deterministic_algorithms(recipe.deterministic)


@contextmanager
def full_disk_is_a_sentence(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in FULL_DISK:
            raise
        raise TrainingError(
            f"{folder} can't be written ({error.strerror}): no checkpoint is lost; make room, then start the same "
            "command with --resume"
        ) from None


@contextmanager
def logged(
    recipe: Recipe,
    writer: RunWriter,
    state: TrainingState,
    evaluator: Any,
    *,
    progress: bool,
    report: Callable[[str], None],
) -> Iterator[None]:
    """Curves, and a progress bar or lines, by process 0 alone."""
    if distributed.rank():
        yield
        return
    run, trainer = writer.run, state.trainer
    iteration = trainer.state.iteration
    epoch, amid = divmod(iteration, trainer.state.epoch_length)
    losses = rewind(run.curves_folder, iteration, epoch)
    writer.log = EpochLog(run.curves_path, recipe, silent if progress else report)
    writer.log.rewind(epoch, [loss for step, loss in losses.items() if step > iteration - amid])
    writer.log.attach(trainer, state.losses)
    tracker = Tracker(run) if recipe.tracking == "mlflow" else None
    writer.curves = curves = Curves(run.curves_folder, tracker)
    curves.attach(trainer, evaluator, state.losses)
    if progress:
        show_progress(trainer, evaluator, state.losses)
    try:
        yield
    except BaseException:
        if tracker is not None:
            tracker.finish("FAILED")
        raise
    curves.close()
    if tracker is not None:
        tracker.finish("FINISHED")


def describe(material: Material, architecture: Architecture, initial: InitialWeights | None) -> RunFacts:
    return RunFacts(
        labels=material.data.labels,
        architecture=architecture,
        input=material.spec,
        normalisation=material.normalisation,
        training_data=material.data.provenance(),
        split_digest=material.data.split_digest(),
        initial_weights=initial,
        train_prior=material.data.prior("train").tolist(),
        data_summary=material.data.summary(),
        skipped=material.unreadable,
        source_commit=source_commit(),
        python=platform.python_version(),
        libraries=library_versions(),
    )
