"""What the tests of evaluation share: a run on patients."""

import pytest

from tests.training.tiny_data import tiny_recipe, write_manifest, write_tree
from training.fitting.engine import fit
from training.run import Run


@pytest.fixture(scope="module")
def by_patient(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run on a folder with two images a patient."""
    folder = tmp_path_factory.mktemp("clinic")
    files = write_tree(folder / "scans", {"ill": 60, "healthy": 60}, size=(16, 16))
    write_manifest(folder / "scans", [{"file": file, "patient": f"p{index // 2}"} for index, file in enumerate(files)])
    recipe = tiny_recipe(
        folder / "scans",
        dataset="folder",
        task="multi-class",
        epochs=1,
        input={"size": 16, "channels": 1},
        folder={"validation": 0.25, "test": 0.25},
    )
    return fit(recipe, folder / "run", progress=False)
