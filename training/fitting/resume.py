"""The complete state of a run between two steps, so that it continues after a kill as if nothing had happened."""

import random
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from ignite.handlers import EMAHandler
from ignite.handlers.param_scheduler import BaseParamScheduler
from monai.engines import SupervisedTrainer
from monai.transforms import Randomizable
from torch import GradScaler, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from training.distributed import gather_objects, rank, world_size
from training.errors import TrainingError
from training.fitting.progress.losses import Losses
from training.fitting.selection import Selection
from training.recipe import Recipe
from training.run import Run, RunFacts


@dataclass(frozen=True)
class TrainingState:
    """Everything that changes from step to step.

    The position in the data is the number of the step (:mod:`training.data.batches`), so it has no state of its own.
    """

    trainer: SupervisedTrainer
    network: nn.Module
    average: EMAHandler | None
    optimiser: Optimizer
    schedule: LRScheduler
    scaler: GradScaler | None
    """Of the loss, for float16."""
    selection: Selection
    randomised: Sequence[Randomizable]
    losses: Losses

    @property
    def warm_up(self) -> BaseParamScheduler:
        """State of the momentum of the average. It exists once the average is attached to the trainer."""
        assert self.average is not None
        assert self.average.momentum_scheduler is not None
        return self.average.momentum_scheduler

    def collect(self) -> dict[str, Any]:
        """The state, with the random numbers of every process, once the loss of every step was finite.

        All processes call this together.
        """
        self.losses.settle()
        return {
            "iteration": self.trainer.state.iteration,
            "network": self.network.state_dict(),
            "average": self.average and self.average.ema_model.state_dict(),
            "average_updates": self.average and self.warm_up.event_index,
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
            "scaler": self.scaler and self.scaler.state_dict(),
            "selection": self.selection.state_dict(),
            "random": gather_objects(random_state(self.randomised)),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Restore the state that :meth:`collect` returned.

        Raises:
            TrainingError: if another number of processes wrote the state.
        """
        if len(state["random"]) != world_size():
            raise TrainingError(
                f"the run was started with {len(state['random'])} process(es) and can't go on with {world_size()}: "
                "start as many"
            )
        trainer = self.trainer
        trainer.load_state_dict(
            {
                "iteration": state["iteration"],
                "max_epochs": trainer.state.max_epochs,
                "epoch_length": trainer.state.epoch_length,
            }
        )
        self.network.load_state_dict(state["network"])
        if self.average is not None:
            self.average.ema_model.load_state_dict(state["average"])
            self.warm_up.event_index = state["average_updates"]
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])
        if self.scaler is not None:
            self.scaler.load_state_dict(state["scaler"])
        self.selection.load_state_dict(state["selection"])
        restore_random_state(state["random"][rank()], self.randomised)


def random_state(randomised: Sequence[Randomizable]) -> dict[str, Any]:
    """The state of every random generator that training draws from, as plain numbers and tensors."""
    version, numbers, gauss = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
        "python": (version, torch.tensor(numbers), gauss),
        "numpy": plain(np.random.get_state()),  # noqa: NPY002 - a library may draw from it
        "transforms": [plain(transform.R.get_state()) for transform in randomised],
    }


def restore_random_state(state: dict[str, Any], randomised: Sequence[Randomizable]) -> None:
    torch.set_rng_state(state["torch"])
    if state["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
    version, numbers, gauss = state["python"]
    random.setstate((version, tuple(numbers.tolist()), gauss))
    np.random.set_state(arrays(state["numpy"]))  # noqa: NPY002
    for transform, own in zip(randomised, state["transforms"], strict=True):
        transform.R.set_state(arrays(own))


def plain(state: Any) -> tuple[Any, ...]:
    """The state of a NumPy generator with a tensor for its array.

    A checkpoint without pickled code can't hold an array.
    """
    name, keys, *rest = state
    return (name, torch.from_numpy(keys.astype(np.int64)), *rest)


def arrays(state: Any) -> Any:
    name, keys, *rest = state
    return (name, keys.numpy().astype(np.uint32), *rest)


def refuse_changes(run: Run, recipe: Recipe, facts: RunFacts) -> None:
    """Refuse to continue a run with another recipe, other data or another number of classes.

    Raises:
        TrainingError: naming what changed.
    """
    before, now = flat(run.recipe().model_dump(mode="json")), flat(recipe.model_dump(mode="json"))
    changes = [f"{key} was {before.get(key)!r} and is {now.get(key)!r}" for key in changed_keys(before, now)]
    if changes:
        raise TrainingError(
            f"{run.folder} can't go on with another recipe ({'; '.join(changes)}): undo the change, or name another "
            "folder with --run"
        )
    stored = run.facts()
    if (stored.libraries, stored.source_commit) != (facts.libraries, facts.source_commit):
        warnings.warn(f"{run.folder} goes on with other code or libraries: its bits may differ", stacklevel=2)
    same_data = stored.trained_on(facts.training_data, facts.split_digest)
    if not same_data or stored.normalisation != facts.normalisation:
        raise TrainingError(
            f"{run.folder} can't go on: {facts.training_data.name} or its split changed since the run started (MD5 "
            f"{stored.training_data.md5} then, {facts.training_data.md5} now): put the data back, or name another "
            "folder with --run"
        )


def changed_keys(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """The keys whose values differ, or that only one of the two has, in the order in which they come."""
    return [key for key in dict.fromkeys([*before, *now]) if before.get(key) != now.get(key)]


def flat(content: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested keys joined by dots, as ``--set`` writes them."""
    result: dict[str, Any] = {}
    for key, value in content.items():
        result |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return result
