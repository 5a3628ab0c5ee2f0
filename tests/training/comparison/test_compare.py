"""Comparing kinds of recalibration: a real comparison through the command line, and what can go wrong in one."""

import csv
import dataclasses
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from sklearn.metrics import accuracy_score, roc_auc_score

from models.resnet import ResNet
from tests.training.command_line import call
from tests.training.tiny_data import medmnist_arrays, recipe_content, write_medmnist
from training.comparison.compare import plan
from training.comparison.differences import differences, resampled
from training.comparison.parallel import Job, fit_all
from training.comparison.tables import markdown
from training.errors import TrainingError
from training.evaluation.figures import Figure, Figures
from training.evaluation.kept import Evaluation
from training.run import Run

FEW = {"train": (8,) * 5, "val": (3,) * 5, "test": (3,) * 5}
SMALL = {"depth": 20, "stem": "small", "width": 0.25}


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("comparison")
    data = write_medmnist(folder / "few.npz", medmnist_arrays(FEW))
    content = recipe_content(data, name="mine", epochs=1, batch_size=8, network=SMALL)
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture(scope="module")
def compared(recipe: Path) -> Path:
    """The folder of a comparison of two kinds and two seeds, made by the command line."""
    runs = recipe.parent / "runs"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.comparison.differences.RESAMPLES", 60)
        status = call(
            patch,
            "compare",
            recipe,
            "--recalibration",
            "none,srm",
            "--seeds",
            2,
            "--runs",
            runs,
            "--jobs",
            2,
            "--timing",
            0,
        )
    assert status == 0
    return runs


def stored(runs: Path, split: str = "val") -> dict:
    content: dict = json.loads((runs / f"mine-comparison-{split}" / "comparison.json").read_text())
    return content


class TestComparison:
    def test_has_a_run_for_each_kind_and_seed(self, compared: Path) -> None:
        for kind in ("none", "srm"):
            for seed in (0, 1):
                run = Run.open(compared / f"mine-{kind}-{seed}")
                assert (run.recipe().network.recalibration, run.recipe().seed) == (kind, seed)
                assert not run.test_log.exists()  # validation is compared unless the test split is asked for

    def test_means_are_those_of_the_predictions(self, compared: Path) -> None:
        content = stored(compared)
        assert (content["split"], content["images"], content["baseline"]) == ("val", 15, "none")
        for kind, entry in content["kinds"].items():
            values = []
            for seed in (0, 1):
                rows = list(csv.DictReader((compared / f"mine-{kind}-{seed}" / "predictions-val.csv").open(newline="")))
                names = list(rows[0])[3:-1]  # the last is the style shift
                probabilities = np.array([[float(row[name]) for name in names] for row in rows])
                predicted = [names[k] for k in probabilities.argmax(axis=1)]
                values.append(accuracy_score([row["label"] for row in rows], predicted))
            assert entry["figures"]["accuracy"]["values"] == pytest.approx(values)
            assert entry["figures"]["accuracy"]["mean"] == pytest.approx(np.mean(values))
            assert entry["figures"]["accuracy"]["sd"] == pytest.approx(np.std(values, ddof=1))
        found = content["kinds"]["srm"]["differences"]["accuracy"]
        means = [content["kinds"][kind]["figures"]["accuracy"]["mean"] for kind in ("srm", "none")]
        assert found["difference"] == pytest.approx(means[0] - means[1])
        assert found["interval"][0] <= found["difference"] <= found["interval"][1]
        assert 0 <= found["p"] <= found["p_holm"] <= 1
        assert content["kinds"]["none"]["differences"] is None

    def test_parameters_are_the_networks(self, compared: Path) -> None:
        for kind, entry in stored(compared)["kinds"].items():
            network: ResNet = Run.open(compared / f"mine-{kind}-0").network()
            assert entry["cost"]["parameters"] == sum(value.numel() for value in network.parameters())

    def test_tables_hold_the_figures(self, compared: Path) -> None:
        content = stored(compared)
        folder = compared / "mine-comparison-val"
        text = (folder / "comparison.md").read_text()
        auc = content["kinds"]["srm"]["figures"]["macro_auc"]
        assert f"{auc['mean']:.3f} ±{auc['sd']:.3f}" in text
        assert f"{content['kinds']['srm']['cost']['parameters']:,}" in text
        with (folder / "comparison.csv").open(newline="") as file:
            rows = {(row["kind"], row["figure"]): row for row in csv.DictReader(file)}
        assert float(rows["srm", "macro_auc"]["mean"]) == pytest.approx(auc["mean"])
        found = content["kinds"]["srm"]["differences"]["macro_auc"]
        assert float(rows["srm", "macro_auc"]["difference"]) == pytest.approx(found["difference"])
        assert rows["none", "macro_auc"]["difference"] == ""
        assert rows["srm", "parameters"]["mean"] == str(content["kinds"]["srm"]["cost"]["parameters"])


def test_finished_runs_are_used_and_a_failing_one_is_left_out(
    compared: Path, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = Path(shutil.copytree(compared, tmp_path / "runs"))
    before = {path: path.read_bytes() for path in runs.glob("mine-*-?/last.pt")}
    assert len(before) == 4
    monkeypatch.setattr("training.comparison.differences.RESAMPLES", 20)
    (runs / "mine-none-1" / "last.pt").unlink()  # as if it had been killed in its last moments
    options = ("--recalibration", "none,srm", "--seeds", 3, "--runs", runs, "--timing", 0, "--split", "test")
    (runs / "mine-srm-2").write_text("a file where the run folder should be")
    assert call(monkeypatch, "compare", recipe, *options) == 1
    given = capsys.readouterr()
    assert "mine-srm-2" in given.err
    assert "Traceback" not in given.err
    assert "3 of 6 runs are finished" in given.out
    for path, earlier_file in before.items():
        again, earlier = (torch.load(file, weights_only=True)["network"] for file in (path, io.BytesIO(earlier_file)))
        assert all(torch.equal(again[name], value) for name, value in earlier.items())
    content = stored(runs, "test")
    assert {kind: entry["seeds"] for kind, entry in content["kinds"].items()} == {"none": [0, 1, 2], "srm": [0, 1]}
    assert content["kinds"]["srm"]["differences"]["mcc"]["seeds"] == [0, 1]
    assert list(content["failed"]) == [str(runs / "mine-srm-2")]
    assert "mine-srm-2" in markdown(content)
    for folder in runs.glob("mine-*-[01]"):
        assert len((folder / "test-openings.log").read_text().splitlines()) == 1


class TestPlan:
    def test_has_all_kinds_of_a_seed_before_the_next(self, recipe: Path, tmp_path: Path) -> None:
        members = plan(str(recipe), ["seed=7"], ["none", "ge"], 2, tmp_path)
        assert [(m.kind, m.seed) for m in members] == [("none", 7), ("ge", 7), ("none", 8), ("ge", 8)]
        assert [m.folder.name for m in members] == ["mine-none-7", "mine-ge-7", "mine-none-8", "mine-ge-8"]
        assert {m.recipe.network.recalibration for m in members} == {"none", "ge"}

    def test_gives_each_kind_initial_weights_of_its_own(self, recipe: Path, tmp_path: Path) -> None:
        members = plan(
            str(recipe), ["network.initial_weights=start/{recalibration}-0.pt"], ["none", "srm"], 1, tmp_path
        )
        found = [member.recipe.network.initial_weights for member in members]
        assert [str(path) for path in found] == ["start/none-0.pt", "start/srm-0.pt"]

    def test_accepts_a_run_with_another_number_of_threads(self, compared: Path, recipe: Path) -> None:
        plan(str(recipe), ["threads=4"], ["none", "srm"], 2, compared)

    def test_refuses_a_run_of_another_recipe(self, compared: Path, recipe: Path) -> None:
        with pytest.raises(TrainingError, match=r"mine-none-0 .* another recipe .epochs is 1 there and 2 here"):
            plan(str(recipe), ["epochs=2"], ["none"], 1, compared)

    @pytest.mark.parametrize(
        ("kinds", "overrides", "sentence"),
        [
            (["srm", "srm"], [], "named twice"),
            (["srm", "sse"], [], "network.recalibration"),
            (["srm"], ["network.recalibration=se"], "--recalibration"),
        ],
    )
    def test_refuses_kinds(
        self, recipe: Path, tmp_path: Path, kinds: list[str], overrides: list[str], sentence: str
    ) -> None:
        with pytest.raises(TrainingError, match=sentence):
            plan(str(recipe), overrides, kinds, 1, tmp_path)

    def test_refuses_a_baseline_that_is_not_compared(
        self, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        options = ("--recalibration", "se,srm", "--baseline", "none", "--runs", tmp_path)
        assert call(monkeypatch, "compare", recipe, *options) == 1
        assert "--baseline none is not among the kinds compared: se, srm" in capsys.readouterr().err


def measured(name: str, value: float) -> Figures:
    """The report of an evaluation with a single figure."""
    metrics = {name: Figure(value=value)}
    return Figures(
        data="scans", split="val", md5="0", images=40, patients=None, seed=0, interval_method="none", metrics=metrics
    )


class TestDifferences:
    def make(self, values: dict[tuple[str, int], float], images: int = 40) -> tuple[dict, dict]:
        """Reports and evaluations of networks that are right in a part of the images."""
        labels = np.arange(images) % 2
        reports, evaluations = {}, {}
        for key, part in values.items():
            right = np.arange(images) < part * images
            probabilities = np.where((np.arange(2) == labels[:, None]) == right[:, None], 0.9, 0.1)
            empty = np.zeros((0,))
            ids = np.array([f"i{i}" for i in range(images)])
            evaluations[key] = Evaluation(
                ids,
                ids,
                labels,
                probabilities,
                probabilities,
                probabilities,
                *[empty] * 5,  # type: ignore[arg-type]
            )
            reports[key] = measured("accuracy", part)
        return reports, evaluations

    def test_figures_of_probabilities_are_resampled_at_the_class_frequencies_assumed(self) -> None:
        """Right in class 0 and wrong in class 1, at frequencies of 1 and 0: all are right, in every resample."""
        _, evaluations = self.make({("none", 0): 1.0})
        (key,) = evaluations
        evaluation = evaluations[key]
        wrong = np.where(evaluation.labels[:, None] == 1, 1 - evaluation.probabilities, evaluation.probabilities)
        evaluations = {key: dataclasses.replace(evaluation, probabilities=wrong)}
        drawn = resampled(evaluations, {key: np.array([1.0, 0.0])})[key]
        np.testing.assert_allclose(drawn["brier"], 0.1**2 + 0.1**2)
        assert drawn["accuracy"].std() > 0  # of the images as they are
        assert resampled(evaluations, {key: None})[key]["brier"].std() > 0

    def test_are_over_the_seeds_that_both_have(self) -> None:
        reports, evaluations = self.make({("none", 0): 0.5, ("none", 1): 0.6, ("srm", 1): 0.9, ("srm", 2): 1.0})
        found = differences(reports, evaluations, ["none", "srm"], "none")["srm"]["accuracy"]
        assert found["seeds"] == [1]
        assert found["difference"] == pytest.approx(0.3)
        low, high = found["patient_interval"]
        error = np.sqrt(0.3 * 0.7 / 40)  # 12 of 40 images are right in one alone
        assert (low, high) == pytest.approx((0.3 - 1.96 * error, 0.3 + 1.96 * error), abs=0.03)
        assert (found["interval"], found["p"], found["p_holm"]) == (None, None, None)

    def test_of_several_kinds_are_adjusted(self) -> None:
        parts = {("none", 0): 0.5, ("none", 1): 0.55, ("se", 0): 0.6, ("se", 1): 0.7, ("srm", 0): 0.9, ("srm", 1): 1.0}
        found = differences(*self.make(parts), ["none", "se", "srm"], "none")
        p = {kind: found[kind]["accuracy"]["p"] for kind in ("se", "srm")}
        assert p["srm"] < p["se"]
        assert found["srm"]["accuracy"]["p_holm"] == pytest.approx(min(2 * p["srm"], 1))
        assert found["se"]["accuracy"]["p_holm"] == pytest.approx(max(p["se"], min(2 * p["srm"], 1)))


def test_several_labels_are_resampled_by_patient() -> None:
    random = np.random.default_rng(0)
    patients = np.array([f"p{i // 2}" for i in range(60)])
    labels = (random.random((60, 3)) < 0.4).astype(np.int64)
    empty = np.zeros((0,))
    reports, evaluations = {}, {}
    for key, noise in {("none", 0): 0.8, ("srm", 0): 0.1}.items():
        probabilities = (labels + random.normal(0, noise, labels.shape)).clip(0.01, 0.99)
        evaluations[key] = Evaluation(
            patients,
            patients,
            labels,
            probabilities,
            probabilities,
            probabilities,
            *[empty] * 5,  # type: ignore[arg-type]
        )
        reports[key] = measured("macro_auc", roc_auc_score(labels, probabilities, average="macro"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.comparison.differences.RESAMPLES", 100)
        found = differences(reports, evaluations, ["none", "srm"], "none")["srm"]["macro_auc"]
    low, high = found["patient_interval"]
    assert 0 < low < found["difference"] < high < 1


def test_interruption_leaves_finished_runs_and_no_process(recipe: Path, tmp_path: Path) -> None:
    members = plan(str(recipe), [], ["none", "se"], 1, tmp_path)
    long = members[1].recipe.model_copy(update={"epochs": 10_000})

    def interrupt(line: str) -> None:
        if "finished" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_all([Job(members[0].recipe, members[0].folder), Job(long, members[1].folder)], workers=2, report=interrupt)
    Run.open(members[0].folder)
    size = folder_size(members[1].folder)
    assert not (members[1].folder / "last.pt").exists()
    assert folder_size(members[1].folder) == size


def folder_size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
