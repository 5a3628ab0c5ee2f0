"""Figures on data of another origin: scikit-learn's, whatever the order of the classes is there."""

import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from models.package import read_card
from tests.training.command_line import call
from tests.training.tiny_data import brightness_images, tiny_recipe, write_tree
from training.datasets import read_dataset
from training.errors import TrainingError
from training.evaluation.evaluate import evaluate
from training.evaluation.external import evaluate_external, read
from training.fitting.engine import fit
from training.packaging.export import export
from training.run import Run

CLASSES = {"dark": 30, "grey": 30, "light": 30}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("own")
    write_tree(folder / "data", CLASSES, size=(16, 16))
    recipe = tiny_recipe(
        folder / "data",
        dataset="folder",
        task="multi-class",
        input={"size": 16, "channels": 1},
        folder={"validation": 0.25, "test": 0.25},
        epochs=2,
        batch_size=10,
    )
    return fit(recipe, folder / "run", progress=False)


def other_data(root: Path, names: list[str]) -> dict[str, np.ndarray]:
    """Images of each class, by the file's path; those of the second class are all as bright as the first's."""
    images: dict[str, np.ndarray] = {}
    for index, name in enumerate(names):
        (root / name).mkdir(parents=True)
        for number, image in enumerate(brightness_images(np.full(20, max(index - 1, 0)), 16, 1, 50 + index)):
            path = root / name / f"{number:02}.png"
            Image.fromarray(image[..., 0]).save(path)
            images[str(path)] = image
    return images


def test_figures_are_scikit_learns_over_all_images(run: Run, tmp_path: Path) -> None:
    images = other_data(tmp_path / "other", ["dark", "grey", "light"])
    recipe = run.recipe().model_copy(update={"data": tmp_path / "other"})
    found = evaluate_external(run, read_dataset(recipe), "elsewhere")
    network, facts = run.network(run.recipe().checkpoint), run.facts()
    pixels = torch.from_numpy(np.stack(list(images.values()))).permute(0, 3, 1, 2).float() / 255
    with torch.inference_mode():
        answers = network(facts.normalisation(pixels)).argmax(dim=1).numpy()  # the target prior is the training one
    truth = np.array([facts.labels.index(Path(path).parent.name) for path in images])
    assert found.metrics["accuracy"].value == pytest.approx(accuracy_score(truth, answers))
    assert found.metrics["balanced_accuracy"].value == pytest.approx(balanced_accuracy_score(truth, answers))
    assert (found.images, found.split, found.data) == (60, "external", "elsewhere")
    assert read(run) == {"elsewhere": found}


def test_another_order_of_the_labels_changes_nothing(run: Run, tmp_path: Path) -> None:
    other_data(tmp_path / "other", ["dark", "grey", "light"])
    recipe = run.recipe().model_copy(update={"data": tmp_path / "other"})
    turned = recipe.folder.model_copy(update={"labels": ["light", "dark", "grey"]})
    first = evaluate_external(run, read_dataset(recipe), "a")
    second = evaluate_external(run, read_dataset(recipe.model_copy(update={"folder": turned})), "b")
    assert np.array_equal(np.sum(first.confusion or [], axis=1), [20, 20, 20])
    assert sorted(first.confusion or []) == sorted(second.confusion or [])
    assert first.metrics["accuracy"].value == second.metrics["accuracy"].value
    assert set(read(run)) >= {"a", "b"}


def test_other_labels_are_refused(run: Run, tmp_path: Path) -> None:
    write_tree(tmp_path / "other", {"dark": 30, "grey": 30, "bright": 30}, size=(16, 16))
    recipe = run.recipe().model_copy(update={"data": tmp_path / "other"})
    with pytest.raises(TrainingError, match="has the labels bright, dark, grey, and the network dark, grey, light"):
        evaluate_external(run, read_dataset(recipe), "other")


def test_the_command_and_the_card(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    copied = Run(Path(shutil.copytree(run.folder, tmp_path / "run")))
    (copied.folder / "external.json").unlink(missing_ok=True)
    other_data(tmp_path / "other", ["dark", "grey", "light"])
    data = f"data={tmp_path / 'other'}"
    assert call(monkeypatch, "external", copied.folder, "Clinic B", "--set", data, "--set", "input.size=16") == 0
    assert "Clinic B, external split, 60 images" in capsys.readouterr().out
    evaluate(copied, "test")
    results = read_card(onnxruntime.InferenceSession(export(copied, tmp_path / "repository"))).measured.results
    elsewhere = {result.metric: result for result in results if result.split == "external"}
    assert list(elsewhere) == ["accuracy", "balanced_accuracy", "macro_auc"]
    assert {result.data for result in elsewhere.values()} == {"Clinic B"}
    assert elsewhere["accuracy"].value == read(copied)["Clinic B"].metrics["accuracy"].value
    assert results[0].split == "test"
