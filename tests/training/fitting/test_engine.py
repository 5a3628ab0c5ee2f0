"""Fitting: that it learns, what it leaves behind, that it repeats, and that every part of the recipe takes effect."""

import importlib.metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import yaml
from sklearn.metrics import roc_auc_score
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor

from models.architecture import Architecture
from models.resnet import ResNet
from tests.training.tiny_data import COUNTS, medmnist_arrays, tiny_recipe, write_medmnist, write_tree
from training.errors import TrainingError
from training.evaluation.metrics import METRICS
from training.fitting.engine import fit
from training.run import Run

AUGMENTATION_OFF: dict[str, Any] = {"flip_horizontal": False, "rotation": 0, "scale": 0, "translation": 0}
FEW = {"train": (8, 5, 3, 2, 2), "val": (2, 2, 2, 2, 2), "test": (1, 1, 1, 1, 1)}


@pytest.fixture(scope="module")
def few_npz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 images to train on."""
    return write_medmnist(tmp_path_factory.mktemp("few") / "few.npz", medmnist_arrays(FEW))


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Initial weights, SRM's included, that leave nothing to chance."""
    torch.manual_seed(42)
    network = ResNet(Architecture(depth=18, stem="small", width=0.1, num_classes=5, image_size=28))
    for name, value in network.named_parameters():
        if name.endswith("cfc"):
            value.data.normal_(0, 0.5)
    path = tmp_path_factory.mktemp("weights") / "start.pth"
    torch.save(network.state_dict(), path)
    return path


def quick(data: Path, folder: Path, *, overwrite: bool = False, **changes: Any) -> Run:
    """An epoch of two steps, where the recipe does not say otherwise."""
    recipe = tiny_recipe(data, **{"epochs": 1, "batch_size": 10} | changes)
    return fit(recipe, folder, overwrite=overwrite, progress=False)


def curves(run: Run) -> dict[str, list[tuple[int, float]]]:
    """Tag to (step, value) of everything that TensorBoard would show."""
    found: dict[str, list[tuple[int, float]]] = {}
    for folder in sorted({path.parent for path in run.folder.rglob("events.out.tfevents.*")}):
        events = EventAccumulator(str(folder))
        events.Reload()
        for tag in events.Tags()["scalars"]:
            found.setdefault(tag, []).extend((event.step, event.value) for event in events.Scalars(tag))
    return found


def state(run: Run, which: str = "last", part: str = "network") -> dict[str, Tensor]:
    """Weights by name, from the checkpoint itself."""
    content: dict[str, Tensor] = torch.load(run.checkpoint(which), weights_only=True)[part]
    return content


def validation_auc(run: Run, which: str, data: Path) -> float:
    """scikit-learn's AUC of a checkpoint, on images normalised by hand."""
    arrays = np.load(data)
    train = arrays["train_images"] / 255
    mean, std = train.mean(axis=(0, 1, 2)), train.std(axis=(0, 1, 2))
    images = torch.from_numpy((arrays["val_images"] / 255 - mean) / std).permute(0, 3, 1, 2).float().contiguous()
    with torch.inference_mode():
        probabilities = run.network(which)(images).softmax(dim=1).double().numpy()
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return float(roc_auc_score(arrays["val_labels"][:, 0], probabilities, multi_class="ovr", average="macro"))


class TestFinishedRun:
    def test_has_learned(self, finished: Run) -> None:
        for split in ("val", "test"):
            assert finished.metrics()[split]["metrics"]["macro_auc"]["value"] > 0.85
            assert finished.metrics()[split]["metrics"]["accuracy"]["value"] > 0.5

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


class TestMovingAverage:
    def test_is_what_is_kept(self, few_npz: Path, tmp_path: Path) -> None:
        run = quick(few_npz, tmp_path / "run", ema_decay=0.9)
        average, raw = state(run), state(run, part="raw_network")
        assert not torch.equal(average["fc.weight"], raw["fc.weight"])
        assert torch.equal(run.network("last").state_dict()["fc.weight"], average["fc.weight"])
        assert validation_auc(run, "best", few_npz) == pytest.approx(curves(run)["macro_auc"][0][1], abs=2e-3)

    def test_is_off_by_default(self, few_npz: Path, tmp_path: Path) -> None:
        run = quick(few_npz, tmp_path / "run")
        assert torch.equal(state(run)["fc.weight"], state(run, part="raw_network")["fc.weight"])


class TestOneStep:
    """One step of plain SGD on all images at once: the whole engine against a few lines of torch."""

    def fitted(
        self, data: Path, start: Path, folder: Path, learning_rate: float = 0.1, batch_size: int = 20, **changes: Any
    ) -> Run:
        optimiser = {"name": "sgd", "momentum": 0, "weight_decay": 0, "learning_rate": learning_rate}
        return quick(
            data,
            folder,
            batch_size=batch_size,
            network={"initial_weights": str(start)},
            schedule={"name": "constant", "warmup": 0},
            augmentation=AUGMENTATION_OFF,
            optimiser=optimiser | changes.pop("optimiser", {}),
            **changes,
        )

    @pytest.mark.parametrize("loss", ["plain", "balanced", "adjusted", "smooth", "ordinal"])
    def test_equals_torchs(self, few_npz: Path, start: Path, tmp_path: Path, loss: str) -> None:
        specs: dict[str, dict[str, Any]] = {
            "plain": {},
            "balanced": {"class_weights": "balanced"},
            "adjusted": {"logit_adjustment": 1.5},
            "smooth": {"label_smoothing": 0.2},
            "ordinal": {"ordinal_sharpness": 0.7},
        }
        run = self.fitted(few_npz, start, tmp_path / "run", loss=specs[loss])

        arrays, counts = np.load(few_npz), torch.tensor(FEW["train"])
        images = arrays["train_images"] / 255
        images = (images - images.mean(axis=(0, 1, 2))) / images.std(axis=(0, 1, 2))
        labels = torch.from_numpy(arrays["train_labels"][:, 0]).long()
        network = ResNet(Architecture(depth=18, stem="small", width=0.1, num_classes=5, image_size=28)).train()
        network.load_state_dict(torch.load(start, weights_only=True))
        # Contiguous: torch 2.13's backward pass of channels-last 1x1 convolutions with stride 2 corrupts memory.
        logits = network(torch.from_numpy(images).permute(0, 3, 1, 2).float().contiguous())
        grades = torch.arange(5)
        losses = {
            "plain": lambda: F.cross_entropy(logits, labels),
            "balanced": lambda: F.cross_entropy(logits, labels, weight=20 / (5 * counts)),
            "adjusted": lambda: F.cross_entropy(logits + 1.5 * torch.log(counts / 20), labels),
            "smooth": lambda: F.cross_entropy(logits, labels, label_smoothing=0.2),
            "ordinal": lambda: F.cross_entropy(logits, torch.softmax(-0.7 * (labels[:, None] - grades).abs(), dim=1)),
        }
        value = losses[loss]()
        value.backward()
        [(step, loss_value)] = curves(run)["train/loss"]
        assert step == 1
        assert loss_value == pytest.approx(float(value.detach()), rel=1e-4)
        before, after = torch.load(start, weights_only=True), state(run)
        gradients = {name: parameter.grad for name, parameter in network.named_parameters()}
        ours = torch.cat([(after[name] - before[name]).flatten() for name in gradients])
        theirs = torch.cat([-0.1 * gradient.flatten() for gradient in gradients.values() if gradient is not None])
        assert float((ours - theirs).norm() / theirs.norm()) < 0.01
        torch.testing.assert_close(after["bn1.running_mean"], network.bn1.running_mean, atol=1e-5, rtol=1e-4)

    def moved(self, run: Run, start: Path) -> float:
        """Length of the way from the initial weights, all parameters together."""
        before, after = torch.load(start, weights_only=True), state(run)
        names = [name for name, _ in run.network("last").named_parameters()]
        return float(torch.cat([(after[name] - before[name]).flatten() for name in names]).double().norm())

    def test_starts_from_the_initial_weights(self, few_npz: Path, start: Path, tmp_path: Path) -> None:
        run = self.fitted(few_npz, start, tmp_path / "run", learning_rate=1e-9)
        assert self.moved(run, start) < 1e-6

    def test_is_as_long_as_the_clipped_gradient(self, few_npz: Path, start: Path, tmp_path: Path) -> None:
        free = self.fitted(few_npz, start, tmp_path / "free")
        clipped = self.fitted(few_npz, start, tmp_path / "clipped", optimiser={"clip_norm": 0.05})
        assert self.moved(free, start) > 0.1 * 0.1
        assert self.moved(clipped, start) == pytest.approx(0.1 * 0.05, rel=1e-3)

    def test_is_clipped_each_time(self, few_npz: Path, start: Path, tmp_path: Path) -> None:
        run = self.fitted(few_npz, start, tmp_path / "run", batch_size=10, epochs=3, optimiser={"clip_norm": 0.05})
        assert len(curves(run)["train/loss"]) == 6
        assert self.moved(run, start) < 1.001 * 6 * 0.1 * 0.05


class TestChoices:
    def first_loss(self, data: Path, start: Path, folder: Path, **changes: Any) -> float:
        run = quick(data, folder, network={"initial_weights": str(start)}, augmentation=AUGMENTATION_OFF, **changes)
        return curves(run)["train/loss"][0][1]

    def test_bfloat16_starts_from_nearly_the_same_loss(self, few_npz: Path, start: Path, tmp_path: Path) -> None:
        exact = self.first_loss(few_npz, start, tmp_path / "exact")
        rounded = self.first_loss(few_npz, start, tmp_path / "rounded", precision="bfloat16")
        assert exact != rounded
        assert rounded == pytest.approx(exact, rel=0.03)

    def test_frozen_parts_stay_as_they_came(self, few_npz: Path, start: Path, tmp_path: Path) -> None:
        run = quick(
            few_npz,
            tmp_path / "run",
            network={"initial_weights": str(start)},
            fine_tuning={"freeze": ["conv1", "bn1", "layer1", "layer2"], "stage_decay": 0.5},
        )
        before, after = torch.load(start, weights_only=True), state(run)
        same = {name.split(".")[0] for name in after if torch.equal(after[name], before[name])}
        assert same == {"conv1", "bn1", "layer1", "layer2"}

    def test_compile_compiles_what_trains(self, few_npz: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        # Compiling itself takes a minute; on a CPU it must not change to channels-last, which corrupts memory.
        compiled: list[torch.nn.Module] = []

        def note(self: ResNet, options: dict[str, bool]) -> None:
            assert options == {"layout_optimization": False}
            compiled.append(self)

        monkeypatch.setattr(ResNet, "compile", note)
        run = quick(few_npz, tmp_path / "run", compile=True, ema_decay=0.9)
        [network] = compiled
        assert torch.equal(network.state_dict()["fc.weight"], state(run, part="raw_network")["fc.weight"])

    def test_the_learning_rate_has_a_curve(self, few_npz: Path, tmp_path: Path) -> None:
        schedule = {"name": "step", "milestones": [1], "warmup": 0, "factor": 0.5}
        run = quick(few_npz, tmp_path / "run", epochs=2, schedule=schedule)
        assert [value for _, value in curves(run)["train/learning_rate"]] == pytest.approx([5e-3] * 2 + [2.5e-3] * 2)


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
