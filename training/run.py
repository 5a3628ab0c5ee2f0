"""A run folder: the resolved recipe, what it ran on, the checkpoints, and the figures."""

import importlib.metadata
import platform
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import torch
import yaml
from pydantic import BaseModel, ConfigDict

from models.architecture import Architecture
from models.card import InputSpec
from models.provenance import InitialWeights, TrainingData
from models.resnet import ResNet
from training.data.pipeline import Normalisation
from training.data.unreadable import Unreadable
from training.errors import TrainingError
from training.evaluation.figures import SplitFigures, read_figures
from training.files import write_atomically
from training.recipe import Recipe, check_recipe

LIBRARIES = ("torch", "monai", "pytorch-ignite", "numpy", "pillow", "onnx", "onnxscript", "onnxruntime", "scikit-learn")


class RunFacts(BaseModel):
    """What a finished network needs beside its weights, and where it came from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    labels: list[str]
    architecture: Architecture
    input: InputSpec
    normalisation: Normalisation
    training_data: TrainingData
    split_digest: str | None = None
    """Of which image is in which split; None for a run made before it was kept."""
    initial_weights: InitialWeights | None = None
    train_prior: list[float]
    data_summary: list[str] = []
    """What was understood of the data: layout, images, patients and labels of each split."""
    skipped: list[Unreadable] = []
    """Images that could not be read and that ``on_corrupt: skip`` left out."""
    source_commit: str
    python: str
    libraries: dict[str, str]

    def trained_on(self, data: TrainingData, split_digest: str | None) -> bool:
        """Whether these are the same images in the same splits, however their name and rule are worded."""
        own = self.training_data
        same_split = self.split_digest is None or self.split_digest == split_digest
        return same_split and (own.md5, own.counts) == (data.md5, data.counts)


@dataclass(frozen=True)
class Run:
    """Paths in a run folder, and reading them back."""

    folder: Path

    @property
    def recipe_path(self) -> Path:
        return self.folder / "recipe.yaml"

    @property
    def facts_path(self) -> Path:
        return self.folder / "facts.json"

    @property
    def metrics_path(self) -> Path:
        return self.folder / "metrics.json"

    @property
    def checkpoint_folder(self) -> Path:
        """What a killed run goes on from."""
        return self.folder / "checkpoints"

    @property
    def curves_folder(self) -> Path:
        return self.folder / "tensorboard"

    @property
    def curves_path(self) -> Path:
        """A row for each epoch."""
        return self.folder / "curves.csv"

    @property
    def tracking_path(self) -> Path:
        """Holds the id of the MLflow run."""
        return self.folder / "mlflow-run.txt"

    @property
    def images_path(self) -> Path:
        """Split, label, patient and details of each image, where the data are your own."""
        return self.folder / "images.csv"

    @property
    def test_log(self) -> Path:
        """One line for each time that the test split was opened."""
        return self.folder / "test-openings.log"

    def test_openings(self) -> list[str]:
        """The lines of the log; none where the test split was never opened."""
        return self.test_log.read_text().splitlines() if self.test_log.is_file() else []

    def checkpoint(self, which: str) -> Path:
        """``best`` on validation, or ``last``."""
        return self.folder / f"{which}.pt"

    @classmethod
    def create(cls, folder: Path, recipe: Recipe, facts: RunFacts, *, overwrite: bool) -> "Run":
        """Start a run folder; an existing run is kept unless ``overwrite``."""
        run = cls(folder)
        if run.recipe_path.exists() and not overwrite:
            raise TrainingError(
                f"{folder} holds a run already: name another with --run, add --resume to go on with it, or --overwrite"
            )
        folder.mkdir(parents=True, exist_ok=True)
        for stale in (
            run.facts_path,  # first, so that what is left of a run half removed is not taken for one
            run.checkpoint("best"),
            run.checkpoint("last"),
            run.metrics_path,
            run.curves_path,
            run.tracking_path,
            run.images_path,
            *folder.glob("predictions-*.csv"),
            *folder.glob("evaluation-*.npz"),
            *folder.glob("perturbations-*.json"),
            folder / "report.html",
        ):
            stale.unlink(missing_ok=True)
        shutil.rmtree(run.curves_folder, ignore_errors=True)
        shutil.rmtree(run.checkpoint_folder, ignore_errors=True)
        content = yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False)
        write_atomically(run.recipe_path, content.encode())
        write_atomically(run.facts_path, facts.model_dump_json(indent=2).encode())
        return run

    def begun(self) -> bool:
        """Whether the folder holds a run, finished or not."""
        return self.recipe_path.is_file() and self.facts_path.is_file()

    def finished(self) -> bool:
        """Whether the run got as far as its last step."""
        return self.checkpoint("last").is_file()

    @classmethod
    def open(cls, folder: Path) -> "Run":
        """Open a finished run.

        Raises:
            TrainingError: if the folder holds no run, or one that has not got as far as a checkpoint.
        """
        run = cls(folder)
        if not run.begun():
            raise TrainingError(f"{folder} is not a run folder: it has no recipe.yaml and facts.json")
        wanted = run.checkpoint(run.recipe().checkpoint)
        if not wanted.is_file():
            raise TrainingError(
                f"{folder} has no {wanted.name}: the run did not get so far; fit it again, with --resume to go on"
            )
        return run

    def recipe(self) -> Recipe:
        return check_recipe(yaml.safe_load(self.recipe_path.read_text()), str(self.recipe_path))

    def facts(self) -> RunFacts:
        return RunFacts.model_validate_json(self.facts_path.read_text())

    def network(self, which: str = "best") -> ResNet:
        """The trained network in evaluation mode, on the CPU."""
        network = ResNet(self.facts().architecture)
        state = torch.load(self.checkpoint(which), map_location="cpu", weights_only=True)
        network.load_state_dict(state["network"])
        return network.eval()

    def metrics(self) -> dict[str, SplitFigures]:
        """All evaluations so far, by split.

        Raises:
            TrainingError: if ``metrics.json`` is damaged.
        """
        return read_figures(self.metrics_path) if self.metrics_path.is_file() else {}


def source_commit() -> str:
    """Commit of the source in use, marked when it has uncommitted changes; ``unknown`` outside a repository."""
    here = Path(__file__).parent
    try:
        commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=True)
        status = subprocess.run(
            ["git", "status", "--porcelain", "--untracked-files=no"],
            cwd=here,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit.stdout.strip() + ("+changes" if status.stdout.strip() else "")


def library_versions() -> dict[str, str]:
    """Versions of the libraries that shape a result."""
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in LIBRARIES}
