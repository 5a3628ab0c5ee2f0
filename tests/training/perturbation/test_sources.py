"""``python -m training perturb`` of a tiny run and its package: file, table, report, card and log."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.training.command_line import call
from tests.training.packaging.packages import open_package
from training.errors import TrainingError
from training.packaging.export import export
from training.perturbation.changes import CHANGES
from training.perturbation.figures import Perturbations, kept_perturbations, read_perturbations
from training.perturbation.sources import perturb_run
from training.report import write_run_report
from training.run import Run


@pytest.fixture(scope="module", autouse=True)
def few_resamples() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.perturbation.sources.RESAMPLES", 30)
        yield


@pytest.fixture(scope="module")
def perturbed(finished: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A copy of the finished run with both files."""
    run = Run(Path(shutil.copytree(finished.folder, tmp_path_factory.mktemp("perturbed") / "run")))
    with pytest.MonkeyPatch.context() as patch:
        for split in ("val", "test"):
            assert call(patch, "perturb", run.folder, "--split", split) == 0
    return run


def kept(run: Run, split: str) -> Perturbations:
    found = kept_perturbations(run, split)
    assert found is not None
    return found


class TestRun:
    @pytest.mark.parametrize("split", ["val", "test"])
    def test_unchanged_images_have_the_figures_of_the_evaluation(self, perturbed: Run, split: str) -> None:
        found, evaluated = kept(perturbed, split), perturbed.metrics()[split]
        for name, figure in found.unchanged.metrics.items():
            assert figure.value == pytest.approx(evaluated.metrics[name].value, abs=1e-6)
        assert evaluated.style_shift is not None
        assert found.unchanged.flagged.value == pytest.approx(evaluated.style_shift.false_alarm_rate.value)
        assert {change.name for change in found.changes} == CHANGES.keys()
        assert (found.data, found.md5, found.split) == (evaluated.data, evaluated.md5, split)

    def test_a_network_that_tells_by_brightness_needs_it(self, perturbed: Run) -> None:
        losses = {change.name: change.differences["macro_auc"].value for change in kept(perturbed, "test").changes}
        assert losses["inverted"] < -0.3
        assert min(losses["dark"], losses["bright"]) < -0.03
        for name in ("upside down", "zoom"):
            assert abs(losses[name]) < 0.02

    def test_an_opening_of_the_test_split_is_logged(self, finished: Run, perturbed: Run) -> None:
        assert len(perturbed.test_openings()) == len(finished.test_openings()) + 1

    def test_is_logged_before_the_first_image(self, run_copy: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        before = len(run_copy.test_openings())

        def stop(*_: object, **__: object) -> None:
            raise InterruptedError

        monkeypatch.setattr("training.perturbation.sources.measure", stop)
        with pytest.raises(InterruptedError):
            perturb_run(run_copy, "test")
        assert len(run_copy.test_openings()) == before + 1
        with pytest.raises(InterruptedError):
            perturb_run(run_copy, "val")
        assert len(run_copy.test_openings()) == before + 1

    def test_the_table_has_a_row_for_each_change(
        self, run_copy: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("COLUMNS", "200")
        output = tmp_path / "other.json"
        assert call(monkeypatch, "perturb", run_copy.folder, "--output", output) == 0
        shown = capsys.readouterr().out
        assert "60 images" in shown
        rows = [line.split("│")[1].strip() for line in shown.splitlines() if line.startswith("│")]
        assert rows == ["unchanged", *(change.name for change in read_perturbations(output).changes)]
        assert kept_perturbations(run_copy, "val") is None


class TestFile:
    def test_of_other_weights_is_not_used(self, perturbed: Run, run_copy: Run) -> None:
        shutil.copy(perturbed.folder / "perturbations-val.json", run_copy.folder)
        assert kept_perturbations(run_copy, "val") is not None
        with run_copy.checkpoint(run_copy.recipe().checkpoint).open("ab") as file:
            file.write(b"another")
        assert kept_perturbations(run_copy, "val") is None

    def test_that_is_damaged_is_a_sentence(self, run_copy: Run) -> None:
        path = run_copy.folder / "perturbations-val.json"
        path.write_text(json.dumps({"data": "tiny"}))
        with pytest.raises(TrainingError, match=r"perturbations-val\.json is damaged \(md5: .*training perturb"):
            kept_perturbations(run_copy, "val")

    def test_goes_with_the_run_that_is_replaced(self, run_copy: Run) -> None:
        path = run_copy.folder / "perturbations-val.json"
        path.write_text("{}")
        Run.create(run_copy.folder, run_copy.recipe(), run_copy.facts(), overwrite=True)
        assert not path.exists()


class TestReportAndCard:
    def test_report_shows_the_table(self, perturbed: Run, finished: Run, tmp_path: Path) -> None:
        page = write_run_report(perturbed, output=tmp_path / "with.html").read_text()
        found = kept(perturbed, "test")
        places = [page.index(f'<th scope="row">{change.name}<br>') for change in found.changes]
        assert places == sorted(places)
        first = found.changes[0]
        assert f"{first.differences['balanced_accuracy'].value:.3f}" in page[places[0] : places[1]]
        assert f"{100 * first.flagged.value:.0f} %" in page[places[0] : places[1]]
        without = write_run_report(finished, output=tmp_path / "without.html").read_text()
        assert 'id="changes"' in page
        assert "rdinary changes" not in without

    def test_card_has_the_test_splits(
        self, perturbed: Run, package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # The run is a copy of the finished one, so its graph need not be traced anew.
        monkeypatch.setattr("training.packaging.export.write_graph", lambda *given: shutil.copy(package, given[-1]))
        _, card = open_package(export(perturbed, tmp_path))
        rows = card.measured.perturbations
        assert rows is not None
        found = kept(perturbed, "test")
        assert [row.name for row in rows] == [change.name for change in found.changes]
        for row, change in zip(rows, found.changes, strict=True):
            assert row.metric == "balanced_accuracy"
            assert row.value == change.metrics["balanced_accuracy"].value
            difference = change.differences["balanced_accuracy"]
            assert (row.difference, row.interval) == (difference.value, difference.interval)
            assert row.flagged == change.flagged.value
        assert open_package(package)[1].measured.perturbations is None


class TestPackage:
    def test_answers_as_the_run_does(
        self, perturbed: Run, package: Path, tiny_npz: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        output = tmp_path / "package.json"
        options = ("--recipe", "retinamnist", "--set", f"data={tiny_npz}", "--split", "test", "--output", output)
        assert call(monkeypatch, "perturb", package, *options) == 0
        of_package, of_run = read_perturbations(output), kept(perturbed, "test")
        other = {change.name: change for change in of_run.changes}
        for change in of_package.changes:
            for name, figure in change.metrics.items():
                assert figure.value == pytest.approx(other[change.name].metrics[name].value, abs=0.03)
            assert change.flagged.value == pytest.approx(other[change.name].flagged.value, abs=0.03)
        assert of_package.weights != of_run.weights

    def test_needs_a_recipe(
        self, package: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert call(monkeypatch, "perturb", package) == 1
        assert "--recipe" in capsys.readouterr().err
