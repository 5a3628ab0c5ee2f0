"""What the tests of training share: one finished run and its package."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.training.tiny_data import medmnist_arrays, tiny_recipe, write_medmnist
from training.evaluation.evaluate import evaluate
from training.fitting.engine import fit
from training.packaging.export import export
from training.run import Run


@pytest.fixture(scope="session", autouse=True)
def light() -> Iterator[None]:
    """One thread, and few resamples for intervals that no test reads closely."""
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.evaluation.evaluate.RESAMPLES", 40)
        yield


@pytest.fixture(scope="session")
def tiny_npz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """RGB images of five grades in RetinaMNIST's layout, under a name of its own."""
    return write_medmnist(tmp_path_factory.mktemp("data") / "tiny.npz", medmnist_arrays())


@pytest.fixture(scope="session")
def finished(tiny_npz: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that was fitted and measured on validation and on test. To change it, take ``run_copy``."""
    run = fit(tiny_recipe(tiny_npz, epochs=3), tmp_path_factory.mktemp("runs") / "tiny", progress=False)
    evaluate(run, "val")
    evaluate(run, "test")
    return run


@pytest.fixture
def run_copy(finished: Run, tmp_path: Path) -> Run:
    return Run(Path(shutil.copytree(finished.folder, tmp_path / "run")))


@pytest.fixture(scope="session")
def package(finished: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished run's package, in a model repository of its own."""
    return export(finished, tmp_path_factory.mktemp("repository"))
