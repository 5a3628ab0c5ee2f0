"""Reading what a run left in its folder, and changing its recipe there."""

import csv
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from training.run import Run


def predictions(run: Run, split: str) -> tuple[list[dict[str, str]], NDArray[np.float64], NDArray[np.int64]]:
    """Rows of a predictions file, its probabilities and its true classes."""
    with (run.folder / f"predictions-{split}.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    labels = [name for name in list(rows[0])[3:] if name != "style_shift"]
    probabilities = np.array([[float(row[label]) for label in labels] for row in rows])
    return rows, probabilities, np.array([labels.index(row["label"]) for row in rows])


def change_recipe(run: Run, **changes: Any) -> None:
    content = yaml.safe_load(run.recipe_path.read_text())
    for key, value in changes.items():
        content[key] = content[key] | value if isinstance(value, dict) else value
    run.recipe_path.write_text(yaml.safe_dump(content))


def epochs(run: Run) -> list[dict[str, str]]:
    """The rows of ``curves.csv``."""
    with run.curves_path.open(newline="") as file:
        return list(csv.DictReader(file))


def curves(run: Run) -> dict[str, list[tuple[int, float]]]:
    """Tag to (step, value) of everything that TensorBoard would show."""
    found: dict[str, list[tuple[int, float]]] = {}
    for folder in sorted({path.parent for path in run.folder.rglob("events.out.tfevents.*")}):
        events = EventAccumulator(str(folder))
        events.Reload()
        for tag in events.Tags()["scalars"]:
            found.setdefault(tag, []).extend((event.step, event.value) for event in events.Scalars(tag))
    return found
