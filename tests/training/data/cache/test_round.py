"""Training, evaluation and export of one data set decode each of its images once for each size."""

from pathlib import Path

import pytest

from tests.training.data.cache.decodings import Decodings
from tests.training.tiny_data import tiny_recipe, write_tree
from training.evaluation.evaluate import evaluate
from training.fitting.engine import fit
from training.packaging.export import export


@pytest.mark.parametrize("larger", [False, True])
def test_of_a_folder(tmp_path: Path, decodings: Decodings, larger: bool) -> None:
    write_tree(tmp_path / "scans", {"a": 24, "b": 24}, size=(20, 16))
    recipe = tiny_recipe(
        tmp_path / "scans",
        dataset="folder",
        task="multi-class",
        input={"size": 12, "channels": 1},
        folder={"validation": 0.25, "test": 0.25},
        epochs=1,
        augmentation={"random_resized_crop": 0.5, "decoded_size": 16} if larger else {},
    )
    run = fit(recipe, tmp_path / "run", progress=False)
    assert decodings.take() == 48
    evaluate(run, "val")
    assert decodings.take() == (24 if larger else 0)  # the training images, as the network sees them in use
    evaluate(run, "test")
    if not larger:
        export(run, tmp_path / "repository")
    assert decodings.take() == 0
