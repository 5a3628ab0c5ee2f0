"""A run's parts: the network, and all that takes a batch of images to a step of it."""

from collections.abc import Sequence

import torch
from ignite.engine import Events
from ignite.handlers import EMAHandler
from monai.engines import SupervisedTrainer
from monai.transforms import Randomizable
from torch import GradScaler, nn

from models.architecture import Architecture
from models.resnet import ResNet
from training import distributed
from training.data.augmentation import BatchAugmentation
from training.data.batches import ShuffledBatches, training_loader
from training.data.cache.images import CachedImages
from training.data.feed import Feed
from training.data.mixup import create_blend
from training.data.pipeline import PrepareTrainingBatch
from training.fitting.forward import TrainingForward, compile_network, memory_format
from training.fitting.material import Material
from training.fitting.optimisation import create_loss, create_optimiser, create_schedule
from training.fitting.progress.losses import Losses
from training.fitting.resume import TrainingState
from training.fitting.selection import Selection
from training.fitting.step import TrainingStep
from training.recipe import Recipe


def create_network(recipe: Recipe, classes: int) -> ResNet:
    architecture = Architecture(
        **recipe.network.model_dump(include=set(Architecture.model_fields)),
        in_channels=recipe.input.channels,
        num_classes=classes,
        image_size=recipe.input.size,
    )
    return ResNet(architecture)


def assemble(
    recipe: Recipe, device: torch.device, material: Material, network: ResNet, frozen: Sequence[nn.Module]
) -> TrainingState:
    """Put the network on its device and build what trains it, at its first step.

    Args:
        recipe: the run's.
        device: this process's.
        material: the run's data.
        network: as it starts, on the CPU.
        frozen: its parts that are not trained.
    """
    if recipe.sync_batch_norm and distributed.world_size() > 1:
        distributed.synchronise_batch_norm(network, device)
    layout = memory_format(recipe.channels_last, device)
    network.to(device).to(memory_format=layout)  # type: ignore[call-overload]  # torch's annotation lacks it
    weights = [item.weight for item in material.data.splits["train"]]
    batches = ShuffledBatches(len(material.images), recipe.batch_size, recipe.seed, weights)
    steps = len(batches) * recipe.epochs
    half = recipe.precision == "float16"
    scaler = GradScaler(device.type) if half else None
    # Only a fused optimiser skips a step that overflowed without asking the GPU whether it did.
    optimiser = create_optimiser(network, recipe.optimiser, recipe.fine_tuning.stage_decay, fused=half)
    schedule = create_schedule(optimiser, recipe.schedule, steps, len(batches))
    average = create_average(network, recipe.ema_decay, steps)
    if recipe.compile:
        compile_network(network, device)
    augmentation, blend = BatchAugmentation(recipe.augmentation, recipe.input.size), create_blend(recipe.loss)
    randomised = [transform for transform in (augmentation, blend) if transform is not None]
    seed_process(recipe.seed, randomised)
    data = material.data
    prior = torch.from_numpy(data.prior("train")).float()
    trainer = SupervisedTrainer(
        device=device,
        max_epochs=recipe.epochs,
        train_data_loader=Feed(training_loader(material.images, batches, material.workers), device),
        network=distributed.share_gradients(network, device),
        optimizer=optimiser,
        loss_function=create_loss(recipe.loss, prior, multi_label=data.multi_label).to(device),
        prepare_batch=PrepareTrainingBatch(material.normalisation, augmentation, blend, len(data.labels)),
        inferer=TrainingForward(device, recipe.precision, layout, frozen),
        iteration_update=TrainingStep(recipe.accumulate, scaler, recipe.optimiser.clip_norm),
        decollate=False,
    )
    if average is not None:
        average.attach(trainer)
    trainer.add_event_handler(Events.EPOCH_STARTED, batches.place)
    if isinstance(material.images, CachedImages):
        material.images.pinned = device.type == "cuda"
    losses = Losses(device)
    losses.attach(trainer)
    return TrainingState(trainer, network, average, optimiser, schedule, scaler, Selection(recipe), randomised, losses)


def create_average(network: nn.Module, decay: float, steps: int) -> EMAHandler | None:
    """The exponential moving average of the weights, faster at the start."""
    if not decay:
        return None
    return EMAHandler(
        network, momentum=1 - decay, momentum_warmup=0.5, warmup_iters=min(steps // 4, 200), handle_buffers="update"
    )


def seed_process(seed: int, randomised: Sequence[Randomizable]) -> None:
    """Give each process random numbers of its own, of which those of process 0 are a single process's."""
    own = distributed.own_seed(seed)
    for transform in randomised:
        transform.set_random_state(own)
    if distributed.rank():
        torch.manual_seed(own)  # of dropout: process 0 goes on as one process would
