"""Fit a recipe: MONAI's supervised engines on Ignite, with validation, checkpoints and curves."""

import errno
import logging
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Events
from ignite.handlers import EMAHandler
from monai.engines import SupervisedTrainer
from monai.engines.utils import IterationEvents
from monai.handlers import LrScheduleHandler, ValidationHandler
from monai.utils import set_determinism
from torch import nn

from models.architecture import Architecture
from models.card import InputSpec
from models.checkpoint import load_initial_weights
from models.resnet import ResNet
from training import distributed
from training.data.augmentation import BatchAugmentation
from training.data.batches import ShuffledBatches, training_loader
from training.data.mixup import create_blend
from training.data.pipeline import Images, Normalisation, OnDemand, PrepareTrainingBatch, cached, verify
from training.data.unreadable import Unreadable, settle
from training.datasets import DataSet, read_dataset
from training.device import choose_device
from training.errors import TrainingError
from training.evaluation.calibration import target_prior
from training.fitting.curves import Curves, rewind, show_progress
from training.fitting.epoch_validation import create_evaluator, own_part
from training.fitting.fine_tuning import freeze
from training.fitting.forward import TrainingForward, compile_network, memory_format
from training.fitting.optimisation import create_loss, create_optimiser, create_schedule
from training.fitting.recorder import Recorder
from training.fitting.resume import TrainingState, refuse_changes
from training.fitting.selection import Selection
from training.fitting.tracking import Tracker, require_mlflow
from training.recipe import Recipe
from training.run import Facts, Run, library_versions, source_commit

FULL_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def fit(recipe: Recipe, folder: Path, *, overwrite: bool = False, resume: bool = False, progress: bool = True) -> Run:
    """Train a recipe's network into a run folder, choosing the checkpoint on validation data alone.

    With ``resume`` a run that was killed goes on from its newest whole checkpoint, to the same weights, bit for bit;
    one that had not begun begins, and a finished one is left as it is. Under ``torchrun`` every process calls this.

    Raises:
        TrainingError: for whatever the user can put right: data, recipe, device, an existing run, a full disk.
    """
    if overwrite and resume:
        raise TrainingError("--overwrite and --resume contradict each other: give one of them")
    device = distributed.own_device(choose_device(recipe.device))
    with distributed.process_group(device), full_disk_is_a_sentence(folder):
        return train(recipe, folder, device, overwrite=overwrite, resume=resume, progress=progress)


def train(recipe: Recipe, folder: Path, device: torch.device, *, overwrite: bool, resume: bool, progress: bool) -> Run:
    make_repeatable(recipe, device)
    if recipe.tracking == "mlflow":
        require_mlflow()
    distributed.own_batch_size(recipe.batch_size)  # a mistake in it, or in the prior, shows now and not hours later
    data = read_dataset(recipe)
    target_prior(recipe.calibration, data.prior("train"), multi_label=data.multi_label)
    spec = InputSpec(
        height=recipe.input.size,
        width=recipe.input.size,
        channels=recipe.input.channels,
        crop=recipe.input.crop,
        interpolation=recipe.input.interpolation,
    )
    decoded = recipe.augmentation.decoded_size or recipe.input.size
    train_spec = spec.model_copy(update={"height": decoded, "width": decoded})
    unreadable: list[Unreadable] = []
    if recipe.cache:
        images: Images = cached(data.splits["train"], train_spec, unreadable)
        verify([*data.splits["val"], *data.splits["test"]], spec, unreadable)  # a damaged file shows now, not later
    elif recipe.on_corrupt == "skip":
        verify([item for items in data.splits.values() for item in items], spec, unreadable)
    data = settle(data, unreadable, recipe.on_corrupt)
    if not recipe.cache:
        images = OnDemand(data.splits["train"], train_spec)
    workers = 0 if recipe.cache else recipe.workers
    own_val = own_part(data.splits["val"], distributed.rank(), distributed.world_size())
    if len(images) < recipe.batch_size:
        raise TrainingError(
            f"{len(images)} training images do not fill a batch of {recipe.batch_size}: lower batch_size"
        )
    normalisation = Normalisation.of(images, workers)
    network = create_network(recipe, len(data.labels))
    frozen = freeze(network, recipe.fine_tuning.freeze)
    run, facts = Run(folder), describe(recipe, data, spec, network.architecture, normalisation, unreadable)
    going_on = resume and distributed.gather_objects(run.begun())[0]
    if going_on:
        refuse_changes(run, recipe, facts)
        if run.finished():
            return run
    elif distributed.rank() == 0:
        Run.create(folder, recipe, facts, overwrite=overwrite or resume)

    if recipe.sync_batch_norm and distributed.world_size() > 1:
        distributed.synchronise_batch_norm(network, device)
    layout = memory_format(recipe.channels_last, device)
    network.to(device).to(memory_format=layout)  # type: ignore[call-overload]  # torch's annotation lacks it
    batches = ShuffledBatches(len(images), recipe.batch_size, recipe.seed)
    steps = len(batches) * recipe.epochs
    optimiser = create_optimiser(network, recipe.optimiser, recipe.fine_tuning.stage_decay)
    schedule: Any = create_schedule(optimiser, recipe.schedule, steps, len(batches))  # MONAI names torch's old base
    average = create_average(network, recipe.ema_decay, steps)
    if recipe.compile:
        compile_network(network, device)
    augmentation, blend = BatchAugmentation(recipe.augmentation, recipe.input.size), create_blend(recipe.loss)
    randomised = [transform for transform in (augmentation, blend) if transform is not None]
    seed = distributed.own_seed(recipe.seed)
    for transform in randomised:
        transform.set_random_state(seed)
    if distributed.rank():
        torch.manual_seed(seed)  # of dropout: process 0 goes on as one process would
    trainer = SupervisedTrainer(
        device=device,
        max_epochs=recipe.epochs,
        train_data_loader=training_loader(images, batches, workers),
        network=distributed.share_gradients(network, device),
        optimizer=optimiser,
        loss_function=create_loss(
            recipe.loss, torch.from_numpy(data.prior("train")).float(), multi_label=data.multi_label
        ).to(device),
        prepare_batch=PrepareTrainingBatch(normalisation, augmentation, blend, len(data.labels)),
        inferer=TrainingForward(device, recipe.precision, layout, frozen),
        decollate=False,
    )
    if average is not None:
        average.attach(trainer)
    chosen: nn.Module = average.ema_model if average else network
    val = cached(own_val, spec) if recipe.cache else OnDemand(own_val, spec)
    evaluator = create_evaluator(recipe, device, chosen, val, normalisation)
    state = TrainingState(trainer, network, average, optimiser, schedule, Selection(recipe), randomised)
    recorder = Recorder(run, state, chosen, recipe.checkpoint_every)
    if going_on:
        recorder.restore()

    trainer.logger.setLevel(logging.CRITICAL)  # what it would say of an error is in the error
    evaluator.logger.setLevel(logging.CRITICAL)
    trainer.add_event_handler(Events.EPOCH_STARTED, batches.place)
    trainer.add_event_handler(IterationEvents.LOSS_COMPLETED, check_loss)
    if recipe.optimiser.clip_norm is not None:
        trainer.add_event_handler(
            IterationEvents.BACKWARD_COMPLETED, clip_gradient, network, recipe.optimiser.clip_norm
        )
    with logged(recipe, run, trainer, evaluator, recorder, progress=progress):
        LrScheduleHandler(schedule, print_lr=False, epoch_level=False).attach(trainer)
        ValidationHandler(1, evaluator).attach(trainer)
        recorder.attach(evaluator)
        if not recorder.complete():
            trainer.run()
        recorder.finish()
    return run


def make_repeatable(recipe: Recipe, device: torch.device) -> None:
    """Seed every generator; on a GPU also choose deterministic algorithms, if the recipe asks for them."""
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    set_determinism(recipe.seed)
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
    recipe: Recipe, run: Run, trainer: SupervisedTrainer, evaluator: Any, recorder: Recorder, *, progress: bool
) -> Iterator[None]:
    """Curves and a progress bar, by process 0 alone."""
    if distributed.rank():
        yield
        return
    iteration = trainer.state.iteration
    rewind(run.curves_folder, iteration, iteration // trainer.state.epoch_length)
    tracker = Tracker(run) if recipe.tracking == "mlflow" else None
    recorder.curves = curves = Curves(run.curves_folder, tracker)
    curves.attach(trainer, evaluator)
    if progress:
        show_progress(trainer, evaluator)
    try:
        yield
    except BaseException:
        if tracker is not None:
            tracker.finish("FAILED")
        raise
    curves.close()
    if tracker is not None:
        tracker.finish("FINISHED")


def create_average(network: nn.Module, decay: float, steps: int) -> EMAHandler | None:
    """The exponential moving average of the weights, faster at the start."""
    if not decay:
        return None
    return EMAHandler(
        network, momentum=1 - decay, momentum_warmup=0.5, warmup_iters=min(steps // 4, 200), handle_buffers="update"
    )


def create_network(recipe: Recipe, classes: int) -> ResNet:
    spec = recipe.network
    architecture = Architecture(
        **spec.model_dump(exclude={"initial_weights"}),
        in_channels=recipe.input.channels,
        num_classes=classes,
        image_size=recipe.input.size,
    )
    network = ResNet(architecture)
    if spec.initial_weights is not None:
        try:
            report = load_initial_weights(network, spec.initial_weights)
        except ValueError as error:
            raise TrainingError(str(error)) from None
        print(report)
    return network


def describe(
    recipe: Recipe,
    data: DataSet,
    spec: InputSpec,
    architecture: Architecture,
    normalisation: Normalisation,
    unreadable: list[Unreadable],
) -> Facts:
    return Facts(
        labels=data.labels,
        architecture=architecture,
        input=spec,
        normalisation=normalisation,
        training_data=data.provenance(),
        train_prior=data.prior("train").tolist(),
        skipped=unreadable,
        source_commit=source_commit(),
        python=platform.python_version(),
        libraries=library_versions(),
    )


def check_loss(trainer: Any) -> None:
    """Keep the loss of the whole batch, all processes' parts, for the curves; stop if it is not finite."""
    trainer.state.loss = distributed.mean_over_processes(trainer.state.output["loss"])
    if not torch.isfinite(trainer.state.loss):
        raise TrainingError(
            f"the loss is {trainer.state.loss.item()} in epoch {trainer.state.epoch}: lower "
            "optimiser.learning_rate, or set optimiser.clip_norm"
        )


def clip_gradient(_: Any, network: nn.Module, norm: float) -> None:
    nn.utils.clip_grad_norm_(network.parameters(), norm)
