"""Files that a run writes while it trains: checkpoints, the weights of the best epoch, and the last weights."""

import shutil
from typing import Any

from ignite.engine import Events
from monai.engines import SupervisedEvaluator
from torch import nn

from training.distributed import rank
from training.files import write_atomically
from training.fitting.checkpoints import Checkpoints, serialised
from training.fitting.progress.curves import Curves
from training.fitting.progress.epoch_log import EpochLog
from training.fitting.resume import TrainingState
from training.run import Run


class RunWriter:
    """Chooses the best epoch, writes the files of a run and stops it early. Only process 0 writes.

    Every file is written completely or not at all. After a kill between two files, the last steps are trained again.
    """

    def __init__(self, run: Run, state: TrainingState, chosen: nn.Module, every: int) -> None:
        self.run = run
        self.state = state
        self.chosen = chosen
        """The network that is validated and exported: the trained one, or its moving average."""
        self.every = every
        self.checkpoints = Checkpoints(run.checkpoint_folder)
        self.curves: Curves | None = None
        self.log: EpochLog | None = None

    def restore(self) -> None:
        """Continue from the newest undamaged checkpoint. Without one, the run starts from its first step."""
        state = self.checkpoints.load()
        if state is not None:
            self.state.restore(state)
            self.write_best()

    def complete(self) -> bool:
        """Whether no step is left, as after a kill between the last step and :meth:`finish`."""
        state = self.state.trainer.state
        epoch, amid = divmod(state.iteration, state.epoch_length)
        return bool(not amid and (epoch == state.max_epochs or (epoch and self.state.selection.exhausted(epoch))))

    def attach(self, evaluator: SupervisedEvaluator) -> None:
        trainer = self.state.trainer
        trainer.add_event_handler(Events.EPOCH_COMPLETED, self.epoch, evaluator)
        if self.every:
            trainer.add_event_handler(Events.ITERATION_COMPLETED(every=self.every), self.step)

    def step(self, trainer: Any) -> None:
        if trainer.state.iteration % trainer.state.epoch_length:  # otherwise it is written after the validation
            self.save()

    def epoch(self, trainer: Any, evaluator: SupervisedEvaluator) -> None:
        if self.state.selection.update(trainer.state.epoch, evaluator.state.metrics, self.chosen):
            self.write_best()
        if self.log is not None:
            self.log.add(trainer.state.epoch, evaluator.state.metrics, self.state.selection)
        self.save()
        if self.state.selection.exhausted(trainer.state.epoch):
            trainer.terminate()

    def save(self) -> None:
        state = self.state.collect()
        if rank() == 0:
            if self.curves is not None:
                self.curves.flush()
            self.checkpoints.save(state["iteration"], state)

    def write_best(self) -> None:
        if rank() == 0 and self.state.selection.epoch:
            write_atomically(self.run.checkpoint("best"), serialised({"network": self.state.selection.network}))

    def finish(self) -> None:
        """Write the last weights, which mark the run as finished, and remove the checkpoints."""
        if rank() == 0:
            weights = {"network": self.chosen.state_dict(), "raw_network": self.state.network.state_dict()}
            write_atomically(self.run.checkpoint("last"), serialised(weights))
            shutil.rmtree(self.run.checkpoint_folder, ignore_errors=True)
