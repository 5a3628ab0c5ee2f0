"""Fitting: that it learns, what it leaves behind, that it repeats, and the mistakes that it refuses."""

import importlib.metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor

from models.resnet import ResNet
from tests.training.fitting.quick import quick, state, validation_auc
from tests.training.run_folder import curves
from tests.training.tiny_data import COUNTS, tiny_recipe, write_tree
from training.errors import TrainingError
from training.evaluation.metrics import METRICS
from training.fitting.engine import fit
from training.run import Run


class TestFinishedRun:
    def test_has_learned(self, finished: Run) -> None:
        for split in ("val", "test"):
            assert finished.metrics()[split].metrics["macro_auc"].value > 0.85
            assert finished.metrics()[split].metrics["accuracy"].value > 0.5

    def test_leaves_its_files(self, finished: Run) -> None:
        names = {path.name for path in finished.folder.iterdir()}
        assert names >= {
            *("recipe.yaml", "facts.json", "best.pt", "last.pt", "metrics.json", "tensorboard"),
            *("predictions-val.csv", "predictions-test.csv", "test-openings.log"),
        }
        assert Run.open(finished.folder) == finished

    def test_keeps_the_resolved_recipe(self, finished: Run, tiny_npz: Path) -> None:
        content = yaml.safe_load((finished.folder / "recipe.yaml").read_text())
        assert (content["epochs"], content["data"], content["network"]["width"]) == (3, str(tiny_npz), 0.1)
        assert content["schedule"]["name"] == "cosine"  # a default, spelled out
        assert finished.recipe() == tiny_recipe(tiny_npz, epochs=3)

    def test_states_facts_about_the_data(self, finished: Run, tiny_npz: Path) -> None:
        facts, images = finished.facts(), np.load(tiny_npz)["train_images"] / 255
        np.testing.assert_allclose(facts.train_prior, np.array(COUNTS["train"]) / 240)
        np.testing.assert_allclose(facts.normalisation.mean, images.mean(axis=(0, 1, 2)), atol=1e-5)
        np.testing.assert_allclose(facts.normalisation.std, images.std(axis=(0, 1, 2)), atol=1e-5)
        assert list(facts.training_data.counts["train"].values()) == list(COUNTS["train"])
        assert (facts.input.height, facts.input.width, facts.input.channels) == (28, 28, 3)
        assert facts.libraries["torch"] == importlib.metadata.version("torch")

    def test_has_curves(self, finished: Run) -> None:
        found = curves(finished)
        loss = found["train/loss"]
        assert [step for step, _ in loss] == list(range(1, 3 * 15 + 1))  # 240 images in batches of 16
        assert np.mean([value for _, value in loss[-10:]]) < 0.7 * np.mean([value for _, value in loss[:10]])
        for name in METRICS:
            assert [step for step, _ in found[name]] == [1, 2, 3]

    @pytest.mark.parametrize("which", ["best", "last"])
    def test_checkpoints_load_without_running_code(self, finished: Run, which: str) -> None:
        content = torch.load(finished.checkpoint(which), weights_only=True)
        network = ResNet(finished.facts().architecture)
        network.load_state_dict(content["network"])
        assert not finished.network(which).training

    def test_best_is_the_best_epoch_and_last_is_the_last(self, finished: Run, tiny_npz: Path) -> None:
        by_epoch = [value for _, value in curves(finished)["macro_auc"]]
        assert validation_auc(finished, "best", tiny_npz) == pytest.approx(max(by_epoch), abs=2e-3)
        assert validation_auc(finished, "last", tiny_npz) == pytest.approx(by_epoch[-1], abs=2e-3)
        assert max(by_epoch) > min(by_epoch)


class TestRepeatability:
    def test_the_same_seed_gives_the_same_bits_and_another_others(self, few_npz: Path, tmp_path: Path) -> None:
        def weights(name: str, seed: int) -> dict[str, Tensor]:
            run = quick(few_npz, tmp_path / name, seed=seed, ema_decay=0.5, **everything)
            return state(run)

        everything: dict[str, Any] = {"network": {"dropout": 0.2}, "loss": {"mixup": 1.0}}
        first = weights("first", 5)
        torch.manual_seed(123)
        np.random.seed(123)  # noqa: NPY002 - a run must not depend on what ran before it
        again, other = weights("again", 5), weights("other", 6)
        assert first.keys() == again.keys()
        assert all(torch.equal(value, again[name]) for name, value in first.items())
        assert not torch.equal(first["conv1.weight"], other["conv1.weight"])


class TestRunFolder:
    def test_of_another_run_is_kept(self, few_npz: Path, tmp_path: Path) -> None:
        run = quick(few_npz, tmp_path / "run")
        before = {path: path.read_bytes() for path in run.folder.rglob("*") if path.is_file()}
        with pytest.raises(TrainingError, match=r"holds a run already.*--overwrite"):
            quick(few_npz, run.folder, seed=1)
        assert {path: path.read_bytes() for path in run.folder.rglob("*") if path.is_file()} == before

    def test_overwritten_keeps_nothing_of_the_old_run(self, run_copy: Run, few_npz: Path) -> None:
        quick(few_npz, run_copy.folder, overwrite=True, epochs=1)
        assert run_copy.recipe().epochs == 1
        assert run_copy.metrics() == {}
        assert not list(run_copy.folder.glob("predictions-*.csv"))
        assert [step for step, _ in curves(run_copy)["train/loss"]] == [1, 2]

    def test_must_be_one_to_be_opened(self, tmp_path: Path) -> None:
        with pytest.raises(TrainingError, match="is not a run folder"):
            Run.open(tmp_path)
        with pytest.raises(TrainingError, match="is not a run folder"):
            Run.open(tmp_path / "nowhere")

    @pytest.mark.parametrize("which", ["best", "last"])
    def test_without_the_recipes_checkpoint_is_refused(self, run_copy: Run, tiny_npz: Path, which: str) -> None:
        recipe = tiny_recipe(tiny_npz, checkpoint=which)
        run_copy.recipe_path.write_text(yaml.safe_dump(recipe.model_dump(mode="json")))
        Run.open(run_copy.folder)
        run_copy.checkpoint(which).unlink()
        with pytest.raises(TrainingError, match=rf"{which}\.pt"):
            Run.open(run_copy.folder)


class TestMistakes:
    def test_cuda_where_there_is_none(self, few_npz: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        with pytest.raises(TrainingError, match="no CUDA device; set device=auto or device=cpu"):
            quick(few_npz, tmp_path / "run", device="cuda")
        assert not (tmp_path / "run").exists()

    def test_a_batch_larger_than_the_data(self, few_npz: Path, tmp_path: Path) -> None:
        with pytest.raises(TrainingError, match="20 training images do not fill a batch of 21: lower batch_size"):
            quick(few_npz, tmp_path / "run", batch_size=21)
        assert not (tmp_path / "run").exists()

    def test_initial_weights_that_are_not_there(self, few_npz: Path, tmp_path: Path) -> None:
        with pytest.raises(TrainingError, match=r"gone\.pth: there is no such file"):
            quick(few_npz, tmp_path / "run", network={"initial_weights": str(tmp_path / "gone.pth")})
        assert not (tmp_path / "run").exists()

    def test_a_prior_for_another_number_of_classes(self, few_npz: Path, tmp_path: Path) -> None:
        # Said before the training, not hours later.
        with pytest.raises(TrainingError, match="target_prior"):
            quick(few_npz, tmp_path / "run", calibration={"target_prior": [0.5, 0.5]})

    def test_a_learning_rate_that_explodes(self, few_npz: Path, tmp_path: Path) -> None:
        with pytest.raises(TrainingError):
            quick(few_npz, tmp_path / "run", optimiser={"learning_rate": 1e30}, schedule={"warmup": 0})

    def test_missing_data(self, tmp_path: Path) -> None:
        with pytest.raises(TrainingError, match=r"gone\.npz is not there"):
            quick(tmp_path / "gone.npz", tmp_path / "run")
        assert not (tmp_path / "run").exists()


class TestOtherData:
    def test_grey_files_in_folders(self, tmp_path: Path) -> None:
        write_tree(tmp_path / "scans", {"ill": 20, "healthy": 20}, size=(30, 20))
        run = quick(
            tmp_path / "scans",
            tmp_path / "run",
            dataset="folder",
            task="multi-class",
            input={"size": 16, "channels": 1},
            network={"recalibration": "se"},
        )
        facts = run.facts()
        assert facts.labels == ["healthy", "ill"]
        assert (facts.architecture.in_channels, facts.architecture.num_classes) == (1, 2)
        assert len(facts.normalisation.mean) == 1
        assert "quadratic_kappa" not in curves(run)
        with torch.inference_mode():
            assert run.network("best")(torch.zeros(3, 1, 16, 16)).shape == (3, 2)


class TestImagesOnDemand:
    def test_train_to_the_same_weights(self, tmp_path: Path) -> None:
        write_tree(tmp_path / "scans", {"a": 20, "b": 20}, size=(20, 16))
        changes: dict[str, Any] = {
            "dataset": "folder",
            "task": "multi-class",
            "input": {"size": 12, "channels": 1},
            "folder": {"validation": 0.25, "test": 0.25},
            "epochs": 2,
            "workers": 2,
        }
        runs = [
            fit(tiny_recipe(tmp_path / "scans", cache=cache, **changes), tmp_path / str(cache), progress=False)
            for cache in (True, False)
        ]
        kept, anew = map(state, runs)
        assert kept.keys() == anew.keys()
        for name, value in kept.items():
            torch.testing.assert_close(anew[name], value, atol=0, rtol=0)

    def test_an_unreadable_one_ends_the_run_with_a_sentence(self, tmp_path: Path) -> None:
        files = write_tree(tmp_path / "scans", {"a": 20, "b": 20})
        for file in files[::2]:
            (tmp_path / "scans" / file).write_bytes(b"no image")
        with pytest.raises(TrainingError, match=r"^.*\.png can't be read: This is not an image file"):
            quick(
                tmp_path / "scans",
                tmp_path / "run",
                cache=False,
                workers=1,
                dataset="folder",
                task="multi-class",
                input={"size": 12, "channels": 1},
            )
