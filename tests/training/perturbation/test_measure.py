"""Losses by change of models whose weakness is known, and their intervals, against scikit-learn on the same draws."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from sklearn.metrics import accuracy_score, balanced_accuracy_score, roc_auc_score

from models.card import InputSpec
from tests.training.tiny_data import brightness_images
from training.datasets import Item
from training.errors import TrainingError
from training.evaluation.bootstrap import TOO_FEW
from training.perturbation.changes import CHANGES
from training.perturbation.measure import Answers, Pixels, draw, measure

SPEC = InputSpec(height=20, width=20, channels=1)
LABELS = np.repeat(np.arange(3), 20)


def by_distance(values: NDArray[np.float64], levels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities (N, K), highest for the level that is nearest."""
    scores = np.exp(-np.abs(values[:, None] - levels) / 10)
    return np.asarray(scores / scores.sum(axis=1, keepdims=True))


def of_brightness(pixels: Pixels) -> Answers:
    mean = pixels.mean(axis=(1, 2, 3))
    return Answers(by_distance(mean, np.array([60.0, 110.0, 160.0])), mean)


def of_sides(pixels: Pixels) -> Answers:
    """By which side is the brighter one and how much in parts, so that no factor of the brightness matters."""
    half = pixels.shape[2] // 2
    left, right = (part.mean(axis=(1, 2, 3)) + 1e-6 for part in (pixels[:, :, :half], pixels[:, :, half:]))
    return Answers(by_distance(100 * np.log(left / right), np.array([-40.0, 0.0, 40.0])), left - right)


def of_noise(pixels: Pixels) -> Answers:
    """Answers that are right now and then, and differ from change to change."""
    seeds = pixels.astype(np.int64).sum(axis=(1, 2, 3))
    return Answers(np.stack([np.random.default_rng(seed).dirichlet(np.ones(3)) for seed in seeds]), seeds / 1000)


@pytest.fixture(scope="module")
def items() -> list[Item]:
    """Brightness tells the class; two images a patient."""
    random = np.random.default_rng(0)
    level = np.array([60, 110, 160])[LABELS][:, None, None, None]
    images = (level + random.normal(0, 8, (60, 20, 20, 1))).clip(0, 255).astype(np.uint8)
    return [Item(image, int(LABELS[i]), f"p{i // 2}", str(i)) for i, image in enumerate(images)]


def run(items: list[Item], model: Any, limit: float = 1e9, **changes: Any) -> dict[str, dict[str, Any]]:
    found = measure(model, items, SPEC, limit, resamples=60, **changes)
    return {row["name"]: row for row in found["changes"]} | {"all": found, "unchanged": found["unchanged"]}


class TestLoss:
    def test_of_a_model_that_needs_the_brightness(self, items: list[Item]) -> None:
        found = run(items, of_brightness, limit=200)
        assert found["unchanged"]["metrics"]["accuracy"]["value"] == 1
        for name in ("dark", "bright", "inverted"):
            assert found[name]["differences"]["balanced_accuracy"]["value"] < -0.3
        for name in ("upside down", "zoom", "blur", "JPEG", "squash"):
            assert found[name]["differences"]["balanced_accuracy"] == {"value": 0, "interval": [0, 0]}
        losses = [row["differences"]["balanced_accuracy"]["value"] for row in found["all"]["changes"]]
        assert losses == sorted(losses)
        assert found["all"]["sorted_by"] == "balanced_accuracy"
        assert [row["name"] for row in found["all"]["changes"]] != list(CHANGES)
        # Its "style shift" is the brightness: 1.7 x 160 is above 200, and 1.7 x 110 is not.
        assert found["unchanged"]["flagged"]["value"] == 0
        assert found["bright"]["flagged"]["value"] == pytest.approx(1 / 3)
        assert found["dark"]["flagged"]["value"] == 0

    def test_of_a_model_that_ignores_the_brightness(self) -> None:
        images = brightness_images(np.full(60, 1), 20, 1, 0).clip(40, 140)
        images[LABELS == 0, :, 10:] = (images[LABELS == 0, :, 10:] * 1.5).astype(np.uint8)
        images[LABELS == 2, :, :10] = (images[LABELS == 2, :, :10] * 1.5).astype(np.uint8)
        found = run([Item(image, int(LABELS[i]), str(i), str(i)) for i, image in enumerate(images)], of_sides)
        assert found["unchanged"]["metrics"]["accuracy"]["value"] == 1
        for name in ("dark", "upside down", "squash", "JPEG"):
            assert found[name]["differences"]["balanced_accuracy"]["value"] == 0
        for name in ("shift", "inverted"):
            assert found[name]["differences"]["balanced_accuracy"]["value"] < -0.3
        assert found["all"]["patients"] is None
        assert "over images" in found["all"]["interval_method"]


class TestIntervals:
    def test_are_paired_by_patient(self, items: list[Item]) -> None:
        found = run(items, of_noise, limit=40)
        weights = draw([item.group for item in items], LABELS, 60)
        assert weights is not None
        assert (weights[:, ::2] == weights[:, 1::2]).all()  # both images of a patient
        pixels = {"unchanged": np.stack([np.asarray(item.image) for item in items])}
        pixels["shift"] = np.zeros_like(pixels["unchanged"])
        pixels["shift"][:, :, 4:] = pixels["unchanged"][:, :, :-4]
        answers = {name: of_noise(values) for name, values in pixels.items()}
        figures: dict[str, Any] = {
            "accuracy": lambda p, y: accuracy_score(y, p.argmax(axis=1)),
            "balanced_accuracy": lambda p, y: balanced_accuracy_score(y, p.argmax(axis=1)),
            "macro_auc": lambda p, y: roc_auc_score(y, p, multi_class="ovr", average="macro"),
        }
        rows = [np.repeat(np.arange(60), row.astype(int)) for row in weights]
        for name, figure in figures.items():
            drawn = {
                change: np.array([figure(answers[change].probabilities[row], LABELS[row]) for row in rows])
                for change in answers
            }
            paired = drawn["shift"] - drawn["unchanged"]
            expected = np.percentile(paired, [2.5, 97.5])
            measured = found["shift"]["differences"][name]
            assert measured["interval"] == pytest.approx(expected)
            assert measured["value"] == pytest.approx(
                figure(answers["shift"].probabilities, LABELS) - figure(answers["unchanged"].probabilities, LABELS)
            )
            assert found["shift"]["metrics"][name]["interval"] == pytest.approx(
                np.percentile(drawn["shift"], [2.5, 97.5])
            )
            assert found["upside down"]["differences"][name]["interval"] == [0, 0]
        flags = [(answers["shift"].style_shift > 40)[row].mean() for row in rows]
        assert 0 < found["shift"]["flagged"]["value"] < 1
        assert found["shift"]["flagged"]["interval"] == pytest.approx(np.percentile(flags, [2.5, 97.5]))
        assert found["all"]["patients"] == 30
        assert "over patients, 60 resamples" in found["all"]["interval_method"]

    def test_of_several_labels_an_image(self, items: list[Item]) -> None:
        random = np.random.default_rng(1)
        truth = (random.random((60, 3)) < 0.3).astype(int)
        several = [item._replace(label=tuple(truth[i].tolist())) for i, item in enumerate(items)]
        found = run(several, of_noise, changes={"shift": CHANGES["shift"]})
        weights = draw([item.group for item in items], truth, 60)
        assert weights is not None
        shifted = np.zeros((60, 20, 20, 1), np.uint8)
        images = np.stack([np.asarray(item.image) for item in items])
        shifted[:, :, 4:] = images[:, :, :-4]
        before, after = of_noise(images).probabilities, of_noise(shifted).probabilities
        rows = [np.repeat(np.arange(60), row.astype(int)) for row in weights]
        drawn = [roc_auc_score(truth[row], after[row]) - roc_auc_score(truth[row], before[row]) for row in rows]
        assert found["shift"]["differences"].keys() == {"macro_auc"}
        measured = found["shift"]["differences"]["macro_auc"]
        assert measured["value"] == pytest.approx(roc_auc_score(truth, after) - roc_auc_score(truth, before))
        assert measured["interval"] == pytest.approx(np.percentile(drawn, [2.5, 97.5]))
        assert found["all"]["sorted_by"] == "macro_auc"

    def test_are_none_where_a_class_is_in_too_few_patients(self, items: list[Item]) -> None:
        five = [item._replace(label=index % 5, group=f"p{index % 5}") for index, item in enumerate(items)]

        def any_of_five(pixels: Pixels) -> Answers:
            return Answers(
                by_distance(pixels.mean(axis=(1, 2, 3)), np.arange(40.0, 240.0, 40.0)), np.zeros(len(pixels))
            )

        found = run(five, any_of_five, changes={"dark": CHANGES["dark"]})
        assert found["all"]["interval_method"] == TOO_FEW
        assert found["dark"]["differences"]["accuracy"]["interval"] is None
        assert found["unchanged"]["flagged"]["interval"] is None
        several = np.eye(60, 3, dtype=np.int64)  # each label on one image
        assert draw([item.id for item in items], several, 60) is None


class TestPictures:
    def test_of_files_are_changed_at_their_own_resolution(self, tmp_path: Path) -> None:
        """100 pixels of 1,000: a tenth of the picture, although a JPEG may be decoded at a reduced scale."""
        Image.fromarray(np.full((800, 800), 90, np.uint8)).save(tmp_path / "a.jpg", quality=95)
        seen: list[Pixels] = []

        def keep(pixels: Pixels) -> Answers:
            seen.append(pixels)
            return Answers(np.tile([0.6, 0.4], (len(pixels), 1)), np.zeros(len(pixels)))

        items = [Item(tmp_path / "a.jpg", label, str(label), str(label)) for label in (0, 1)]
        measure(keep, items, SPEC, 0, resamples=5, changes={"white border": CHANGES["white border"]})
        unchanged, bordered = seen
        assert np.abs(unchanged - 90.0).max() <= 1
        assert np.abs(bordered[:, 3:-3, 3:-3] - 90.0).max() <= 6
        assert (bordered[:, :1] > 245).all()
        assert np.abs(bordered[:, 2, 10] - 90.0).max() < 60  # the third of twenty rows is the picture's

    def test_that_can_not_be_read_are_a_sentence(self, tmp_path: Path, items: list[Item]) -> None:
        (tmp_path / "b.png").write_bytes(b"no picture")
        broken = [*items[:4], Item(tmp_path / "b.png", 2, "b", "b.png")]
        with pytest.raises(TrainingError, match=r"b\.png can't be read"):
            measure(of_brightness, broken, SPEC, 0, resamples=5)
