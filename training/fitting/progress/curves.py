"""Output of a run while it trains: TensorBoard curves, MLflow if requested, and a progress bar."""

from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events
from ignite.handlers.tqdm_logger import ProgressBar
from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader
from torch.utils.tensorboard import SummaryWriter

from training.fitting.progress.losses import Losses, StepFigures
from training.fitting.progress.tracking import Tracker

STEPS = "train/"
"""Prefix of the curves by step; the others are by epoch."""


class Curves:
    """Loss and learning rate by step, and the validation figures by epoch, under ``<run>/tensorboard``."""

    def __init__(self, folder: Path, tracker: Tracker | None = None) -> None:
        self.writer = SummaryWriter(str(folder))
        self.tracker = tracker

    def attach(self, trainer: Engine, evaluator: Engine, losses: Losses) -> None:
        losses.listeners.append(self.step)
        evaluator.add_event_handler(Events.COMPLETED, self.epoch, trainer)

    def step(self, figures: StepFigures) -> None:
        self.add({f"{STEPS}loss": figures.loss, f"{STEPS}learning_rate": figures.learning_rate}, figures.step)

    def epoch(self, evaluator: Engine, trainer: Engine) -> None:
        self.add(evaluator.state.metrics, trainer.state.epoch)

    def add(self, figures: dict[str, float], step: int) -> None:
        for name, value in figures.items():
            self.writer.add_scalar(name, value, step)
        if self.tracker is not None:
            self.tracker.add(figures, step)

    def flush(self) -> None:
        """Write the values added so far, so that a checkpoint is never ahead of the curves."""
        self.writer.flush()
        if self.tracker is not None:
            self.tracker.flush()

    def close(self) -> None:
        self.flush()
        self.writer.close()


def rewind(folder: Path, step: int, epoch: int) -> dict[int, float]:
    """Remove the values after the checkpoint from the curves of a killed run.

    These steps are trained and logged again. Return the losses that are kept, by step.
    """
    old = sorted(folder.glob("events.out.tfevents.*"))
    kept: dict[tuple[str, int], Any] = {}
    for path in old:
        for event in LegacyEventFileLoader(str(path)).Load():
            for value in event.summary.value:
                if event.step <= (step if value.tag.startswith(STEPS) else epoch):
                    kept[value.tag, event.step] = event
    draft = folder.with_name(f"{folder.name}.part")
    writer = SummaryWriter(str(draft))
    for event in kept.values():
        writer._get_file_writer().add_event(event, event.step, event.wall_time)
    writer.close()
    folder.mkdir(exist_ok=True)
    for path in draft.iterdir():
        path.replace(folder / path.name)
    draft.rmdir()
    for path in old:
        path.unlink()
    losses = {step: event for (tag, step), event in kept.items() if tag == f"{STEPS}loss"}
    return {step: event.summary.value[0].simple_value for step, event in sorted(losses.items())}


def show_progress(trainer: Any, evaluator: Engine, losses: Losses) -> None:
    """A bar with the loss, and a line for each validation."""
    bar = ProgressBar(desc="fit", persist=False)
    bar.attach(trainer, output_transform=lambda _: {"loss": losses.newest})

    @evaluator.on(Events.COMPLETED)
    def show(engine: Any) -> None:
        figures = ", ".join(f"{name} {value:.3f}" for name, value in engine.state.metrics.items())
        bar.log_message(f"epoch {trainer.state.epoch}/{trainer.state.max_epochs}: validation {figures}")
