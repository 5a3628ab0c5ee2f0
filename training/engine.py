"""Fit a recipe: MONAI's supervised engines on Ignite, with validation, checkpoints, TensorBoard and a progress bar."""

import platform
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Events
from ignite.handlers import EMAHandler
from ignite.handlers.tqdm_logger import ProgressBar
from ignite.metrics import EpochMetric
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.engines.utils import IterationEvents
from monai.handlers import CheckpointSaver, LrScheduleHandler, TensorBoardStatsHandler, ValidationHandler
from monai.utils import set_determinism
from torch import Tensor, nn

from models.architecture import Architecture
from models.card import InputSpec
from models.checkpoint import load_initial_weights
from models.resnet import ResNet
from training.augmentation import BatchAugmentation
from training.calibration import target_prior
from training.datasets import DataSet, read_dataset
from training.device import choose_device
from training.errors import TrainingError
from training.metrics import METRICS, metrics_for
from training.mixup import MixUp
from training.optimisation import ClassificationLoss, create_optimiser, create_schedule
from training.pipeline import LABEL, Normalisation, PrepareBatch, PrepareTrainingBatch, cached, loader, verify
from training.recipe import Recipe
from training.run import Facts, Run, library_versions, source_commit
from training.unreadable import Unreadable, settle


def fit(recipe: Recipe, folder: Path, *, overwrite: bool = False, progress: bool = True) -> Run:
    """Train a recipe's network into a run folder, choosing the checkpoint on validation data alone.

    Raises:
        TrainingError: for whatever the user can put right: data, recipe, device, an existing run.
    """
    device = choose_device(recipe.device)
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    set_determinism(recipe.seed)
    data = read_dataset(recipe)
    target_prior(recipe.calibration, data.prior("train"))  # a mistake in it shows now, not after the training
    spec = InputSpec(
        height=recipe.input.size,
        width=recipe.input.size,
        channels=recipe.input.channels,
        crop=recipe.input.crop,
        interpolation=recipe.input.interpolation,
    )
    unreadable: list[Unreadable] = []
    train, val = (cached(data.splits[split], spec, unreadable) for split in ("train", "val"))
    verify(data.splits["test"], spec, unreadable)  # a damaged file shows now, not after the training
    data = settle(data, unreadable, recipe.on_corrupt)
    if len(train) < recipe.batch_size:
        raise TrainingError(
            f"{len(train)} training images do not fill a batch of {recipe.batch_size}: lower batch_size"
        )
    normalisation = Normalisation.of(train)
    network = create_network(recipe, len(data.labels)).to(device)
    run = Run.create(
        folder,
        recipe,
        describe(recipe, data, spec, network.architecture, normalisation, unreadable),
        overwrite=overwrite,
    )
    train_loader = loader(train, recipe.batch_size, shuffle=True, seed=recipe.seed)
    augmentation = BatchAugmentation(recipe.augmentation)
    augmentation.set_random_state(recipe.seed)
    mixup = MixUp(recipe.loss.mixup) if recipe.loss.mixup else None
    if mixup is not None:
        mixup.set_random_state(recipe.seed)
    optimiser = create_optimiser(network, recipe.optimiser)
    steps = len(train_loader) * recipe.epochs
    prior = torch.from_numpy(data.prior("train")).float()
    trainer = SupervisedTrainer(
        device=device,
        max_epochs=recipe.epochs,
        train_data_loader=train_loader,
        network=network,
        optimizer=optimiser,
        loss_function=ClassificationLoss(recipe.loss, prior).to(device),
        prepare_batch=PrepareTrainingBatch(normalisation, augmentation, mixup, len(data.labels)),
        decollate=False,
    )
    schedule: Any = create_schedule(optimiser, recipe.schedule, steps)  # MONAI's annotation is torch's old base class
    LrScheduleHandler(schedule, print_lr=False, epoch_level=False).attach(trainer)
    trainer.add_event_handler(IterationEvents.LOSS_COMPLETED, check_loss)
    if recipe.optimiser.clip_norm is not None:
        trainer.add_event_handler(
            IterationEvents.BACKWARD_COMPLETED, clip_gradient, network, recipe.optimiser.clip_norm
        )
    chosen: nn.Module = network
    if recipe.ema_decay:
        ema = EMAHandler(
            network,
            momentum=1 - recipe.ema_decay,
            momentum_warmup=0.5,
            warmup_iters=min(steps // 4, 200),
            handle_buffers="update",
        )
        ema.attach(trainer)
        chosen = ema.ema_model
    evaluator = create_evaluator(recipe, device, chosen, val, normalisation)
    ValidationHandler(1, evaluator).attach(trainer)
    contents = {"network": chosen, "raw_network": network, "optimiser": optimiser}
    CheckpointSaver(str(folder), contents, save_key_metric=True, key_metric_filename="best.pt").attach(evaluator)
    CheckpointSaver(str(folder), contents, save_final=True, final_filename="last.pt").attach(trainer)
    attach_logs(trainer, evaluator, folder, progress=progress)
    trainer.run()
    return run


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
    if not torch.isfinite(trainer.state.output["loss"]):
        raise TrainingError(
            f"the loss is {trainer.state.output['loss'].item()} in epoch {trainer.state.epoch}: lower "
            "optimiser.learning_rate, or set optimiser.clip_norm"
        )


def clip_gradient(_: Any, network: nn.Module, norm: float) -> None:
    nn.utils.clip_grad_norm_(network.parameters(), norm)


def create_evaluator(
    recipe: Recipe, device: torch.device, network: nn.Module, val: Any, normalisation: Normalisation
) -> SupervisedEvaluator:
    """Validation by all figures of the task, on the unaugmented validation images."""

    def epoch_metric(name: str) -> EpochMetric:
        def compute(logits: Tensor, labels: Tensor) -> float:
            if not torch.isfinite(logits).all():
                raise TrainingError("the validation logits are not finite: lower optimiser.learning_rate")
            probabilities = torch.softmax(logits.double(), dim=1).cpu().numpy()
            return METRICS[name](probabilities, labels.cpu().numpy().astype(np.int64))

        return EpochMetric(
            compute, output_transform=lambda output: (output["pred"], output[LABEL]), check_compute_fn=False
        )

    return SupervisedEvaluator(
        device=device,
        val_data_loader=loader(val, 256),
        network=network,
        prepare_batch=PrepareBatch(normalisation),
        key_val_metric={recipe.select_by: epoch_metric(recipe.select_by)},
        additional_metrics={name: epoch_metric(name) for name in metrics_for(recipe.task) if name != recipe.select_by},
        decollate=False,
    )


def attach_logs(trainer: SupervisedTrainer, evaluator: SupervisedEvaluator, folder: Path, *, progress: bool) -> None:
    """TensorBoard curves under ``<run>/tensorboard`` and, if asked for, a bar that shows the last validation."""
    log_dir = str(folder / "tensorboard")
    TensorBoardStatsHandler(
        log_dir=log_dir, epoch_log=False, tag_name="train/loss", output_transform=lambda output: output["loss"].item()
    ).attach(trainer)
    TensorBoardStatsHandler(
        log_dir=log_dir,
        iteration_log=False,
        output_transform=lambda _: None,
        global_epoch_transform=lambda _: trainer.state.epoch,
    ).attach(evaluator)
    if progress:
        bar = ProgressBar(desc="fit", persist=False)
        bar.attach(trainer, output_transform=lambda output: {"loss": output["loss"].item()})

        @evaluator.on(Events.COMPLETED)
        def show(engine: Any) -> None:
            figures = ", ".join(f"{name} {value:.3f}" for name, value in engine.state.metrics.items())
            bar.log_message(f"epoch {trainer.state.epoch}/{trainer.state.max_epochs}: validation {figures}")
