"""Tracking with MLflow: the same curves as in TensorBoard, with recipe and provenance, to compare many runs."""

import os
import time
from typing import Any

from training.errors import TrainingError
from training.fitting.resume import flat
from training.run import Run

BATCH = 1000  # limit of figures in one request to MLflow


def require_mlflow() -> None:
    """Raise a :class:`TrainingError` if MLflow is not installed. It reports nothing to its makers unless told to."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    try:
        import mlflow  # noqa: F401
    except ImportError:
        raise TrainingError(
            "tracking: mlflow needs MLflow, which is not installed: pip install 'retina-srm[mlflow]', or set "
            "tracking=none"
        ) from None


class Tracker:
    """One MLflow run for each run folder, in the experiment of the recipe's name.

    It goes where ``MLFLOW_TRACKING_URI`` says; by default into ``mlflow.db`` (SQLite) in the working directory, which
    is MLflow's own default since it gave up the store of plain files. A resumed run continues in the same MLflow run,
    and no figure is stored twice.
    """

    def __init__(self, run: Run) -> None:
        require_mlflow()
        from mlflow import MlflowClient
        from mlflow.entities import Metric

        self.metric: Any = Metric
        self.client = MlflowClient()
        self.waiting: list[Any] = []
        self.stored: dict[str, int] = {}
        """Figure to the last step that is in the store already."""
        if run.tracking_path.is_file():
            self.run_id = run.tracking_path.read_text().strip()
            self.client.update_run(self.run_id, status="RUNNING")
            self.resumed = True
        else:
            self.run_id = self.start(run)
            self.resumed = False

    def start(self, run: Run) -> str:
        recipe, facts = run.recipe(), run.facts()
        experiment = self.client.get_experiment_by_name(recipe.name)
        experiment_id = experiment.experiment_id if experiment else self.client.create_experiment(recipe.name)
        tags = {
            "run_folder": str(run.folder.resolve()),
            "data": facts.training_data.name,
            "data_md5": facts.training_data.md5,
            "source_commit": facts.source_commit,
            **{f"library.{name}": version for name, version in facts.libraries.items()},
        }
        run_id: str = self.client.create_run(experiment_id, run_name=run.folder.name, tags=tags).info.run_id
        for key, value in flat(recipe.model_dump(mode="json", exclude={"card"})).items():
            self.client.log_param(run_id, key, value)
        for path in (run.recipe_path, run.facts_path):
            self.client.log_artifact(run_id, str(path))
        run.tracking_path.write_text(run_id + "\n")
        return run_id

    def add(self, figures: dict[str, float], step: int) -> None:
        """Keep figures until the next :meth:`flush`."""
        for name, value in figures.items():
            if name not in self.stored:
                history = self.client.get_metric_history(self.run_id, name) if self.resumed else []
                self.stored[name] = max((metric.step for metric in history), default=-1)
            if step > self.stored[name]:
                self.stored[name] = step
                self.waiting.append(self.metric(name, float(value), int(time.time() * 1000), step))

    def flush(self) -> None:
        """Store the added figures."""
        for first in range(0, len(self.waiting), BATCH):
            self.client.log_batch(self.run_id, metrics=self.waiting[first : first + BATCH])
        self.waiting.clear()

    def finish(self, status: str) -> None:
        """``FINISHED`` or ``FAILED``."""
        self.flush()
        self.client.set_terminated(self.run_id, status)
