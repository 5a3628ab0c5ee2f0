"""Export: the package equals PyTorch, says so, and is not there at all when anything is wrong."""

import json
import logging
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
import yaml
from onnx import numpy_helper
from scipy.special import softmax

from models.card import Card, InputSpec
from tests.training.packaging.packages import Array, answers, open_package
from tests.training.run_folder import predictions
from tests.training.tiny_data import medmnist_arrays, tiny_recipe, write_medmnist
from training.errors import TrainingError
from training.evaluation.evaluate import evaluate
from training.fitting.engine import fit
from training.packaging.export import export, torchvision_not_missed
from training.packaging.graph import PackagedNetwork
from training.run import Run

BATCHES = (1, 2, 7, 32)


def by_hand(run: Run, card: Card, images: Array) -> dict[str, Array]:
    """The three outputs from the trained network, unfolded, with everything round it in NumPy."""
    facts = run.facts()
    x = (images / 255 - np.array(facts.normalisation.mean)) / np.array(facts.normalisation.std)
    with torch.inference_mode():
        explanation = run.network().explain(torch.from_numpy(x.transpose(0, 3, 1, 2)).float().contiguous())
    logits = explanation.logits.numpy() / card.calibration.temperature + np.array(card.calibration.log_prior_shift)
    gates = [gate.numpy() for gate in explanation.recalibration_weights.values()]
    return {
        "probabilities": softmax(logits, axis=1),
        "recalibration_weights": np.concatenate(gates, axis=1) if gates else np.zeros((len(images), 0)),
        "class_activation": explanation.class_activation.numpy(),
    }


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


class TestPackage:
    @pytest.mark.parametrize("batch", BATCHES)
    def test_equals_the_trained_network(self, finished: Run, package: Path, tiny_npz: Path, batch: int) -> None:
        images = np.load(tiny_npz)["test_images"][:batch]
        if batch == 7:
            images = np.random.default_rng(0).integers(0, 256, images.shape, dtype=np.uint8)
        expected = by_hand(finished, open_package(package)[1], images)
        for name, values in answers(package, images).items():
            assert values.dtype == np.float32
            assert values.shape == expected[name].shape
            np.testing.assert_allclose(values, expected[name], atol=1e-4, rtol=0, err_msg=name)

    def test_gives_the_evaluated_probabilities(self, finished: Run, package: Path, tiny_npz: Path) -> None:
        _, evaluated, _ = predictions(finished, "test")
        probabilities = answers(package, np.load(tiny_npz)["test_images"])["probabilities"]
        np.testing.assert_allclose(probabilities, evaluated, atol=1e-4)
        assert probabilities.std(axis=0).min() > 0.01

    def test_activation_maps_average_to_the_logits(self, package: Path, tiny_npz: Path) -> None:
        _, card = open_package(package)
        given = answers(package, np.load(tiny_npz)["val_images"][:9])
        logits = given["class_activation"].mean(axis=(2, 3)) / card.calibration.temperature
        expected = softmax(logits + np.array(card.calibration.log_prior_shift), axis=1)
        np.testing.assert_allclose(given["probabilities"], expected, atol=1e-4)

    def test_is_one_file_of_opset_20_or_newer(self, package: Path) -> None:
        assert files_in(package.parents[2]) == [package]
        assert package.parts[-3:] == ("tiny", "1", "model.onnx")
        model = onnx.load(package)
        onnx.checker.check_model(model)
        assert {opset.version >= 20 for opset in model.opset_import if not opset.domain} == {True}


Sabotage = Callable[[Array], None]


@pytest.fixture
def quick_graph(package: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let ``export`` copy the finished run's graph in place of tracing it anew, with a weight changed if so asked."""

    def prepare(sabotage: Sabotage | None = None) -> None:
        def write_graph(_packaged: PackagedNetwork, _spec: InputSpec, path: Path) -> None:
            model = onnx.load(package)
            if sabotage is not None:
                bias = next(value for value in model.graph.initializer if list(value.dims) == [5])
                changed = numpy_helper.to_array(bias).copy()
                sabotage(changed)
                bias.CopyFrom(numpy_helper.from_array(changed, bias.name))
            onnx.save(model, path)

        monkeypatch.setattr("training.packaging.export.write_graph", write_graph)

    return prepare


def shift(values: Array) -> None:
    values[2] += 0.01


def poison(values: Array) -> None:
    values[2] = np.nan


class TestRefusal:
    """The failed export leaves no file; the same export unharmed writes one."""

    def test_the_graph_is_copied_faithfully(
        self, run_copy: Run, tmp_path: Path, quick_graph: Callable[..., None], package: Path
    ) -> None:
        quick_graph()
        path = export(run_copy, tmp_path / "repository", name="copied", version="12")
        assert path == tmp_path / "repository" / "copied" / "12" / "model.onnx"
        assert files_in(tmp_path / "repository") == [path]
        _, card = open_package(path)
        assert (card.name, card.version) == ("copied", "12")
        assert card.blocks == open_package(package)[1].blocks

    @pytest.mark.parametrize("sabotage", [shift, poison])
    def test_of_a_graph_that_differs(
        self, run_copy: Run, tmp_path: Path, quick_graph: Callable[..., None], sabotage: Sabotage
    ) -> None:
        quick_graph(sabotage)
        with pytest.raises(TrainingError, match="differs from PyTorch"):
            export(run_copy, tmp_path / "repository")
        assert files_in(tmp_path / "repository") == []

    def test_of_any_difference_without_tolerance(
        self, run_copy: Run, tmp_path: Path, quick_graph: Callable[..., None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        quick_graph()
        monkeypatch.setattr("training.packaging.export.PARITY_TOLERANCE", 0.0)
        with pytest.raises(TrainingError, match="differs from PyTorch"):
            export(run_copy, tmp_path / "repository")
        assert files_in(tmp_path / "repository") == []

    def test_of_an_incomplete_card(self, run_copy: Run, tmp_path: Path, quick_graph: Callable[..., None]) -> None:
        quick_graph()
        facts = json.loads(run_copy.facts_path.read_text())
        run_copy.facts_path.write_text(json.dumps(facts | {"source_commit": ""}))
        with pytest.raises(TrainingError, match=r"model card is incomplete.*source_commit"):
            export(run_copy, tmp_path / "repository")
        assert files_in(tmp_path / "repository") == []

    @pytest.mark.parametrize(
        "wrong", [{"version": "0"}, {"version": "v1"}, {"name": "two words"}, {"name": "../outside"}], ids=str
    )
    def test_refuses_an_invalid_name_or_version(
        self, run_copy: Run, tmp_path: Path, quick_graph: Callable[..., None], wrong: dict[str, str]
    ) -> None:
        quick_graph()
        before = set(tmp_path.rglob("*"))
        with pytest.raises(TrainingError, match=next(iter(wrong))):
            export(run_copy, tmp_path / "repository", name=wrong.get("name"), version=wrong.get("version", "1"))
        assert set(tmp_path.rglob("*")) - before <= {tmp_path / "repository"}

    def test_before_the_test_split_was_measured(self, run_copy: Run, tmp_path: Path) -> None:
        report = json.loads(run_copy.metrics_path.read_text())
        run_copy.metrics_path.write_text(json.dumps({"val": report["val"]}))
        with pytest.raises(TrainingError, match=r"no figures on the test split.*training evaluate"):
            export(run_copy, tmp_path / "repository")
        assert not (tmp_path / "repository").exists()

    def test_leaves_an_earlier_package_as_it_is(
        self, run_copy: Run, tmp_path: Path, quick_graph: Callable[..., None], package: Path
    ) -> None:
        target = tmp_path / "repository" / "tiny" / "1" / "model.onnx"
        target.parent.mkdir(parents=True)
        shutil.copy(package, target)
        before = target.read_bytes()
        quick_graph(shift)
        with pytest.raises(TrainingError, match="differs from PyTorch"):
            export(run_copy, tmp_path / "repository", overwrite=True)
        assert files_in(tmp_path / "repository") == [target]
        assert target.read_bytes() == before

    def test_of_a_version_that_is_there(
        self, run_copy: Run, tmp_path: Path, quick_graph: Callable[..., None], package: Path
    ) -> None:
        model = tmp_path / "repository" / "tiny"
        for version in ("1", "9", "10"):
            (model / version).mkdir(parents=True)
            (model / version / "model.onnx").write_bytes(b"earlier")
        quick_graph()
        with pytest.raises(
            TrainingError, match=r"tiny/9/model\.onnx is there already: add --version 11, or --overwrite"
        ):
            export(run_copy, tmp_path / "repository", version="9")
        assert {path.read_bytes() for path in files_in(model)} == {b"earlier"}
        export(run_copy, tmp_path / "repository", version="9", overwrite=True)
        assert open_package(model / "9" / "model.onnx")[1].version == "9"
        assert (model / "10" / "model.onnx").read_bytes() == b"earlier"


@pytest.fixture
def registration() -> Iterator[list[str]]:
    """What the module of the exporter logs that looks for operators."""
    said: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("torch.onnx._internal.exporter._registration")
    logger.addHandler(handler)
    yield said
    logger.removeHandler(handler)


def test_other_warnings_of_that_module_are_shown(registration: list[str]) -> None:
    logger = logging.getLogger("torch.onnx._internal.exporter._registration")
    with torchvision_not_missed():
        logger.warning("torchvision is not installed. Skipping %s", "torchvision::nms")
        logger.warning("Failed to register %s", "aten::add")
    logger.warning("torchvision is not installed. Skipping %s", "torchvision::nms")
    assert registration == [
        "Failed to register aten::add",
        "torchvision is not installed. Skipping torchvision::nms",  # the filter is gone after the export
    ]


class TestOtherNetworks:
    """Traced for real: a network without gates, and one whose gates are another module's, on grey images."""

    @pytest.mark.parametrize(("recalibration", "gates"), [("none", 0), ("se", 2 * (6 + 13 + 26 + 51))])
    def test_have_their_own_number_of_gates(
        self, tmp_path: Path, recalibration: str, gates: int, registration: list[str]
    ) -> None:
        counts = {"train": (10, 6, 4, 4), "val": (3, 3, 3, 3), "test": (3, 3, 3, 3)}
        recipe = tiny_recipe(
            write_medmnist(tmp_path / "grey.npz", medmnist_arrays(counts, channels=1)),
            dataset="octmnist",
            task="multi-class",
            input={"channels": 1},
            network={"recalibration": recalibration},
            loss={"logit_adjustment": 1.0},
            calibration={"target_prior": "uniform"},
            checkpoint="last",
            epochs=1,
            batch_size=8,
        )
        run = fit(recipe, tmp_path / "run", progress=False)
        evaluate(run, "test")
        path = export(run, tmp_path / "repository")
        assert not [line for line in registration if "torchvision" in line]
        session, card = open_package(path)
        shapes = {output.name: output.shape[1:] for output in session.get_outputs()}
        assert shapes["recalibration_weights"] == [gates]
        assert shapes["probabilities"] == [4]
        assert sum(block.channels for block in card.blocks) == gates
        assert (card.gate_reference is None) == (gates == 0)
        # Logits adjusted by tau = 1 hold uniform classes already.
        np.testing.assert_allclose(card.calibration.log_prior_shift, 0, atol=1e-9)
        images = np.load(tmp_path / "grey.npz")["test_images"][..., None]
        for batch in (1, 3, 12):
            given = answers(path, images[:batch])
            assert given["recalibration_weights"].shape == (batch, gates)
            np.testing.assert_allclose(given["probabilities"], predictions(run, "test")[1][:batch], atol=1e-4)


def test_the_recipe_on_the_card_can_be_fitted_again(package: Path) -> None:
    _, card = open_package(package)
    again = tiny_recipe(Path("elsewhere.npz"), **yaml.safe_load(yaml.safe_dump(card.recipe)))
    assert again.epochs == 3
    assert again.network.width == 0.1


def test_the_package_does_not_tell_where_it_was_made(package: Path) -> None:
    content = package.read_bytes()
    for told in (b"stack_trace", str(Path(__file__).parents[3] / "training").encode(), str(package.parent).encode()):
        assert told not in content
