"""A row for each epoch in ``curves.csv``, and the same as a line for whoever reads a log instead of a terminal."""

import csv
import io
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean
from typing import TextIO

from ignite.engine import Engine, Events

from training.evaluation.metrics import metrics_for
from training.files import write_atomically
from training.fitting.progress.losses import Losses, StepFigures
from training.fitting.selection import Selection
from training.recipe import Recipe


class EpochLog:
    """The rows of a run: mean loss, validation figures, learning rate, speed, and the best epoch so far.

    Time and speed are those of this process: of an epoch that was killed amid its steps, only what came after.
    """

    def __init__(self, path: Path, recipe: Recipe, report: Callable[[str], None]) -> None:
        self.path = path
        self.recipe = recipe
        self.report = report
        self.figures = metrics_for(recipe.task)
        self.losses: list[float] = []
        self.rate = 0.0
        self.steps = 0
        self.begun = self.trained = time.perf_counter()

    @property
    def columns(self) -> list[str]:
        speed = ["learning_rate", "images_per_second", "seconds"]
        return ["epoch", "train_loss", *self.figures, *speed, "best_epoch", f"best_{self.recipe.select_by}"]

    def rewind(self, epoch: int, losses: Sequence[float]) -> None:
        """Remove the rows after the checkpoint of a killed run, and a row that the kill cut off.

        Args:
            epoch: the last whole epoch of the checkpoint.
            losses: of the steps since then that are not trained again.
        """
        self.losses = list(losses)
        if not self.path.is_file():
            return
        with self.path.open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if None not in row.values() and int(row["epoch"]) <= epoch]
        content = io.StringIO(newline="")
        self.write(content, rows, heading=True)
        write_atomically(self.path, content.getvalue().encode())

    def attach(self, trainer: Engine, losses: Losses) -> None:
        trainer.add_event_handler(Events.EPOCH_STARTED, self.begin)
        losses.listeners.append(self.step)

    def begin(self) -> None:
        self.begun, self.steps = time.perf_counter(), 0

    def step(self, figures: StepFigures) -> None:
        self.losses.append(figures.loss)
        self.rate = figures.learning_rate
        self.steps += 1
        self.trained = time.perf_counter()

    def add(self, epoch: int, figures: dict[str, float], selection: Selection) -> None:
        """Write the row of an epoch that was trained and validated, and report its line."""
        loss = fmean(self.losses)
        speed = self.steps * self.recipe.batch_size / max(self.trained - self.begun, 1e-9)
        seconds = time.perf_counter() - self.begun
        measured = {name: f"{figures[name]:.6g}" for name in self.figures}
        row = {
            "epoch": str(epoch),
            "train_loss": f"{loss:.6g}",
            **measured,
            "learning_rate": f"{self.rate:.6g}",
            "images_per_second": f"{speed:.1f}",
            "seconds": f"{seconds:.2f}",
            "best_epoch": str(selection.epoch),
            f"best_{self.recipe.select_by}": f"{selection.value:.6g}",
        }
        self.losses.clear()
        with self.path.open("a", newline="") as file:
            self.write(file, [row], heading=not file.tell())
        self.report(self.line(row))

    def line(self, row: dict[str, str]) -> str:
        """The figures of a row as one line; rounded from the row, so that the two never differ by a last digit."""
        said = {name: float(value) for name, value in row.items()}
        chosen = self.recipe.select_by
        shown = ", ".join(f"{name} {said[name]:.4f}" for name in dict.fromkeys((chosen, "nll")))
        return (
            f"epoch {row['epoch']}/{self.recipe.epochs}: loss {said['train_loss']:.4f}, validation {shown}, "
            f"{said['images_per_second']:.0f} images/s, {said['seconds']:.1f} s, "
            f"learning rate {said['learning_rate']:.3g}, "
            f"best {chosen} {said[f'best_{chosen}']:.4f} in epoch {row['best_epoch']}"
        )

    def write(self, file: TextIO, rows: Sequence[dict[str, str]], *, heading: bool) -> None:
        writer = csv.DictWriter(file, self.columns, restval="", extrasaction="ignore", lineterminator="\n")
        if heading:
            writer.writeheader()
        writer.writerows(rows)
