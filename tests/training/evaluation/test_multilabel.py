"""Multi-label tasks: figures against scikit-learn, loss and calibration by arithmetic, and a run to its package."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from sklearn.metrics import cohen_kappa_score, f1_score, log_loss, roc_auc_score
from torchmetrics.functional.classification import binary_calibration_error

from models.package import read_card
from tests.training import released_trees as trees
from tests.training.tiny_data import tiny_recipe
from training.errors import TrainingError
from training.evaluation import multilabel
from training.evaluation.calibration import Calibrator, fit_calibration, prior_in_logits, target_prior
from training.evaluation.evaluate import evaluate
from training.fitting.engine import fit
from training.fitting.optimisation import MultiLabelLoss, create_loss
from training.packaging.export import export
from training.recipe import CalibrationSpec, LossSpec
from training.report import write_run_report
from training.run import Run


def example(images: int = 60, classes: int = 3, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    random = np.random.default_rng(seed)
    labels = (random.uniform(size=(images, classes)) < [0.2, 0.5, 0.7][:classes]).astype(np.int64)
    return 1 / (1 + np.exp(-(labels * 2 - 1 + random.normal(0, 1.5, labels.shape)))), labels


class TestFigures:
    def test_by_scikit_learn(self) -> None:
        probabilities, labels = example()
        said, flat = probabilities > 0.5, (labels.ravel(), probabilities.ravel())
        expected = {
            "macro_auc": roc_auc_score(labels, probabilities, average="macro"),
            "macro_f1": f1_score(labels, said, average="macro"),
            "odir_kappa": cohen_kappa_score(flat[0], flat[1] > 0.5),
            "odir_f1": f1_score(flat[0], flat[1] > 0.5, average="micro"),
            "odir_auc": roc_auc_score(*flat),
            "nll": np.mean([log_loss(labels[:, k], probabilities[:, k]) for k in range(3)]),
        }
        expected["odir_score"] = (expected["odir_kappa"] + expected["odir_f1"] + expected["odir_auc"]) / 3
        for name, value in expected.items():
            assert multilabel.METRICS[name](probabilities, labels) == pytest.approx(value), name

    def test_calibration_error_by_hand(self) -> None:
        probabilities, labels = np.array([[0.9, 0.1], [0.9, 0.1]]), np.array([[1, 0], [0, 0]])
        # Two decisions at .9, half of them true; two at .1, none of them true.
        assert multilabel.METRICS["ece"](probabilities, labels) == pytest.approx((0.4 + 0.1) / 2, abs=1e-6)

    def test_calibration_error_is_torchmetrics_and_weights_are_repeated_decisions(self) -> None:
        random = np.random.default_rng(0)
        probabilities = random.random((60, 3))
        labels = (random.random((60, 3)) < probabilities**2).astype(np.int64)
        times = random.integers(1, 4, (60, 3))
        given, truth = (torch.from_numpy(np.repeat(each.ravel(), times.ravel())) for each in (probabilities, labels))
        expected = float(binary_calibration_error(given, truth, n_bins=15))
        found = multilabel.expected_calibration_error(probabilities, labels, times.astype(float))
        assert found == pytest.approx(expected, abs=1e-6)

    def test_of_perfect_answers(self) -> None:
        _, labels = example()
        assert multilabel.METRICS["odir_score"](labels.astype(float), labels) == 1


class TestReport:
    def test_of_patients_is_of_their_mean_probabilities(self) -> None:
        probabilities, labels = example(40)
        labels = np.repeat(labels[:20], 2, axis=0)
        groups = [f"p{row // 2}" for row in range(40)]
        report = multilabel.measure(probabilities, labels, groups, ["a", "b", "c"], resamples=5)
        mean = (probabilities[::2] + probabilities[1::2]) / 2
        assert report["patient_metrics"]["macro_auc"]["value"] == pytest.approx(roc_auc_score(labels[::2], mean))
        assert report["metrics"]["macro_auc"]["value"] == pytest.approx(roc_auc_score(labels, probabilities))
        low, high = report["metrics"]["nll"]["interval"]
        assert low < high
        counts = report["confusion_by_label"]["b"]
        assert counts["true_positive"] == int(((probabilities[:, 1] > 0.5) & (labels[:, 1] == 1)).sum())
        assert sum(counts.values()) == 40

    def test_has_no_patients_where_eyes_differ(self) -> None:
        probabilities, labels = example(40)
        report = multilabel.measure(probabilities, labels, [f"p{n // 2}" for n in range(40)], list("abc"), resamples=2)
        assert "patient_metrics" not in report

    def test_has_no_intervals_where_a_label_is_too_rare(self) -> None:
        # Eight labels, each on one of forty patients: nearly every resample lacks one of them.
        labels = np.eye(40, 8, dtype=np.int64)
        probabilities = np.random.default_rng(0).uniform(size=labels.shape)
        report = multilabel.measure(probabilities, labels, [str(n) for n in range(40)], list("abcdefgh"), resamples=10)
        assert report["interval_method"] == "no intervals: a label is too rare"
        assert report["metrics"]["macro_auc"]["interval"] is None


class TestLoss:
    prior = torch.tensor([0.1, 0.5, 0.8])

    def test_is_binary_cross_entropy(self) -> None:
        logits, labels = torch.tensor([[0.3, -1.0, 2.0]]), torch.tensor([[0.0, 1.0, 1.0]])
        expected = -np.mean(
            [np.log(1 / (1 + np.exp(0.3))), np.log(1 / (1 + np.exp(1.0))), np.log(1 / (1 + np.exp(-2)))]
        )
        loss = create_loss(LossSpec(), self.prior, multi_label=True)
        assert isinstance(loss, MultiLabelLoss)
        assert float(loss(logits, labels)) == pytest.approx(expected, rel=1e-5)

    @pytest.mark.parametrize(
        "spec", [{}, {"class_weights": "balanced"}, {"logit_adjustment": 1.0}, {"logit_adjustment": 0.5}]
    )
    def test_calibration_removes_the_prior_of_the_loss(self, spec: dict[str, object]) -> None:
        # One kind of image for each label's frequency: the loss's own minimum is found without a network.
        labels = torch.zeros(10, 3)
        for k, count in enumerate((1, 5, 8)):
            labels[:count, k] = 1
        logits = torch.zeros(1, 3, requires_grad=True)
        chosen = LossSpec.model_validate(spec)
        criterion = MultiLabelLoss(chosen, self.prior)
        optimiser = torch.optim.LBFGS([logits], max_iter=100, line_search_fn="strong_wolfe")

        def closure() -> float:
            optimiser.zero_grad()
            value = criterion(logits.expand(10, 3), labels)
            value.backward()
            return float(value.detach())

        optimiser.step(closure)
        prior = self.prior.double().numpy()
        calibrator = fit_calibration(
            logits.detach().double().numpy().repeat(10, axis=0),
            labels.long().numpy(),
            held_prior=prior_in_logits(prior, chosen, multi_label=True),
            target_prior=prior,
            temperature=False,
        )
        np.testing.assert_allclose(calibrator(logits.detach().double().numpy())[0], [0.1, 0.5, 0.8], atol=1e-3)


class TestCalibration:
    def test_finds_the_temperature(self) -> None:
        random = np.random.default_rng(0)
        logits = random.normal(0, 2, (4000, 2))
        labels = (random.uniform(size=logits.shape) < 1 / (1 + np.exp(-logits))).astype(np.int64)
        held = labels.mean(axis=0)
        calibrator = fit_calibration(logits * 3, labels, held_prior=held, target_prior=held)
        assert calibrator.temperature == pytest.approx(3, rel=0.1)
        assert calibrator.multi_label

    def test_towards_another_population_is_bayes_rule(self) -> None:
        prior, other = np.array([0.2, 0.5]), np.array([0.6, 0.1])
        logits = np.array([[0.4, -1.0]])
        before = 1 / (1 + np.exp(-logits))
        odds = before / (1 - before) * (other / (1 - other)) / (prior / (1 - prior))
        after = Calibrator(1.0, np.zeros(2), prior, True).towards(other)
        np.testing.assert_allclose(after(logits), odds / (1 + odds))

    def test_prior_of_each_label(self) -> None:
        train = np.array([0.1, 0.3])
        for prior, expected in (("train", train), ("uniform", [0.5, 0.5]), ([0.2, 0.9], [0.2, 0.9])):
            spec = CalibrationSpec.model_validate({"target_prior": prior})
            np.testing.assert_allclose(target_prior(spec, train, multi_label=True), expected)
        with pytest.raises(TrainingError, match="below 1"):
            target_prior(CalibrationSpec(target_prior=[0.5, 1.0]), train, multi_label=True)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run on ODIR's layout, measured on both splits."""
    folder = tmp_path_factory.mktemp("odir")
    recipe = tiny_recipe(
        trees.odir(folder / "data", trees.odir_rows(64)),
        dataset="odir",
        task="multi-label",
        input={"size": 16},
        network={"width": 0.05},
        folder={"validation": 0.3, "test": 0.3},
        epochs=1,
        loss={"mixup": 0.2},
        select_by="odir_score",
    )
    run = fit(recipe, folder / "run", progress=False)
    for split in ("val", "test"):
        evaluate(run, split)
    return run


class TestRun:
    def test_figures_are_those_of_the_predictions(self, run: Run) -> None:
        report = run.metrics()["test"]
        rows = [line.split(",") for line in (run.folder / "predictions-test.csv").read_text().splitlines()]
        names = rows[0][3:-1]  # the last is the style shift
        labels = np.array([[name in row[2].split(";") for name in names] for row in rows[1:]], dtype=int)
        probabilities = np.array([[float(value) for value in row[3:-1]] for row in rows[1:]])
        assert labels.sum(axis=1).max() == 2
        assert report.metrics["macro_auc"].value == pytest.approx(
            roc_auc_score(labels, probabilities, average="macro"), abs=1e-3
        )
        patients, first = np.unique([row[1] for row in rows[1:]], return_index=True)
        mean = np.stack([probabilities[[row[1] == p for row in rows[1:]]].mean(axis=0) for p in patients])
        assert report.patients == len(patients)
        assert report.patient_metrics is not None
        assert report.patient_metrics["odir_auc"].value == pytest.approx(
            roc_auc_score(labels[first].ravel(), mean.ravel()), abs=1e-3
        )
        assert not np.allclose(probabilities.sum(axis=1), 1)

    def test_has_the_verdicts_of_the_style_shift_and_no_accuracy_by_coverage(self, run: Run) -> None:
        report = run.metrics()["test"]
        assert report.selective is None
        assert report.style_shift is not None
        assert report.style_shift.accuracy is None
        rows = (run.folder / "predictions-test.csv").read_text().splitlines()[1:]
        usual = [float(row.rpartition(",")[2]) <= report.style_shift.usual_up_to for row in rows]
        assert report.style_shift.share["usual"].value == pytest.approx(np.mean(usual))
        assert report.style_shift.share["usual"].interval is not None

    def test_report_has_the_figures_by_image_and_by_patient(self, run: Run) -> None:
        page = write_run_report(run).read_text()
        report = run.metrics()["test"]
        assert report.patient_metrics is not None
        for part in (report.metrics, report.patient_metrics):
            assert f"{part['odir_score'].value:.3f}" in page

    def test_package_gives_the_sigmoid_of_each_label(self, run: Run, tmp_path: Path) -> None:
        path = export(run, tmp_path)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        card = read_card(session)
        assert card.task == "multi-label"
        assert {result.metric for result in card.measured.results} == {
            *multilabel.METRICS,
            "style_shift_false_alarms",
        }
        pixels = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
        probabilities, maps = session.run(["probabilities", "class_activation"], {"image": pixels})
        logits = maps.mean(axis=(2, 3)) / card.calibration.temperature + card.calibration.log_prior_shift
        np.testing.assert_allclose(probabilities, 1 / (1 + np.exp(-logits)), atol=1e-4)
