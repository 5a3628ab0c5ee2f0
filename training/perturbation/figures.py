"""What ordinary changes cost, and ``perturbations-<split>.json``, which holds it."""

from pathlib import Path

from pydantic import ValidationError

from training.evaluation.figures import Figure, Part, damaged
from training.files import replace_text, sha256
from training.run import Run


class OnImages(Part):
    """The figures on one set of images."""

    metrics: dict[str, Figure]
    flagged: Figure
    """The share whose style shift is not usual."""


class Perturbed(OnImages):
    """The figures on the changed images of a split."""

    name: str
    meaning: str
    differences: dict[str, Figure]
    """To the unchanged images; below 0 where the change costs. The intervals are of the same resamples of patients."""


class Perturbations(Part):
    """The figures on a split, unchanged and by change."""

    data: str
    md5: str
    split: str
    images: int
    patients: int | None
    """None where each image counts for itself."""
    weights: str
    """SHA-256 of the checkpoint or of the package."""
    interval_method: str
    sorted_by: str
    """The figure by whose loss the changes are in order, the largest loss first."""
    unchanged: OnImages
    changes: list[Perturbed]


def read_perturbations(path: Path) -> Perturbations:
    """Read a ``perturbations-<split>.json``.

    Raises:
        TrainingError: if it is damaged.
    """
    try:
        return Perturbations.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise damaged(path, error, "`python -m training perturb` again") from None


def write_perturbations(path: Path, found: Perturbations) -> None:
    """Write it, whole or not at all."""
    replace_text(path, found.model_dump_json(indent=2) + "\n")


def kept_perturbations(run: Run, split: str) -> Perturbations | None:
    """What the run folder holds of a split; None where it holds nothing of the weights that the run has now."""
    path = perturbations_path(run, split)
    if not path.is_file():
        return None
    found = read_perturbations(path)
    return found if found.weights == sha256(run.checkpoint(run.recipe().checkpoint)) else None


def perturbations_path(run: Run, split: str) -> Path:
    return run.folder / f"perturbations-{split}.json"
