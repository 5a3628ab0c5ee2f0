"""The command line: help, listings, a whole round, and one sentence for a user's mistake."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from rich.console import Console

import training
from tests.training.command_line import call
from tests.training.tiny_data import medmnist_arrays, recipe_content, write_medmnist
from training.datasets.medmnist_releases import RELEASES
from training.run import Run

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = (
    "recipes",
    "download",
    "check",
    "fit",
    "cross-validate",
    "evaluate",
    "report",
    "export",
    "compare",
    "analyse",
)
FEW = {"train": (8, 8, 8, 8, 8), "val": (3, 3, 3, 3, 3), "test": (3, 3, 3, 3, 3)}


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal that folds no line."""
    monkeypatch.setattr("training.__main__.console", Console(width=400))
    monkeypatch.setenv("COLUMNS", "400")


class TestHelp:
    def test_of_the_program_runs_as_a_module(self) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "training", "--help"], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert all(command in done.stdout for command in COMMANDS)

    @pytest.mark.parametrize("command", COMMANDS)
    def test_of_each_command(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
    ) -> None:
        assert call(monkeypatch, command, "--help") == 0
        assert f"training {command}" in capsys.readouterr().out

    def test_is_shown_without_a_command(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        call(monkeypatch)
        given = capsys.readouterr()
        assert all(command in given.out + given.err for command in COMMANDS)


def test_recipes_lists_the_shipped_ones(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(monkeypatch, "recipes") == 0
    listed = capsys.readouterr().out
    files = sorted((Path(training.__file__).parent / "recipes").glob("*.yaml"))
    assert files
    for file in files:
        content = yaml.safe_load(file.read_text())
        row = next(line for line in listed.splitlines() if content["card"]["description"] in line)
        assert f" {file.stem} " in row
        assert f"ResNet-{content['network']['depth']}" in row


class TestRound:
    @pytest.fixture
    def recipe(self, tmp_path: Path) -> Path:
        data = write_medmnist(tmp_path / "few.npz", medmnist_arrays(FEW))
        path = tmp_path / "mine.yaml"
        path.write_text(yaml.safe_dump(recipe_content(data, name="mine", epochs=5)))
        return path

    def test_fit_with_test_measures_both_splits_and_names_the_run_folder(
        self,
        recipe: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.chdir(tmp_path)
        assert call(monkeypatch, "fit", recipe, "--test", "--set", "epochs=1", "--set", "seed=3") == 0
        shown = capsys.readouterr().out
        run = Run.open(tmp_path / "runs" / "mine-srm-3")
        assert "runs/mine-srm-3" in shown
        assert len([line for line in shown.splitlines() if line.startswith("epoch 1/1: loss ")]) == 1
        assert run.recipe().epochs == 1
        for split in ("val", "test"):
            assert f"{split} split, 15 images" in shown
            assert f"{run.metrics()[split].metrics['macro_auc'].value:.4f}" in shown

    def test_fit_leaves_the_test_split_closed(
        self, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        folder = tmp_path / "chosen"
        assert call(monkeypatch, "fit", recipe, "--run", folder, "--set", "epochs=1") == 0
        assert f"not opened. When all choices are made: python -m training evaluate {folder}" in capsys.readouterr().out
        assert set(Run.open(folder).metrics()) == {"val"}
        assert not (folder / "test-openings.log").exists()
        assert call(monkeypatch, "evaluate", folder, "--split", "test") == 0
        assert set(Run.open(folder).metrics()) == {"val", "test"}
        assert len((folder / "test-openings.log").read_text().splitlines()) == 1

    def test_download_of_a_file_that_is_there(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "octmnist.npz").write_bytes(b"")
        monkeypatch.setitem(RELEASES["octmnist"].md5, 28, "d41d8cd98f00b204e9800998ecf8427e")  # MD5 of nothing
        assert call(monkeypatch, "download", "octmnist", "--to", tmp_path) == 0
        assert str(tmp_path / "octmnist.npz") in capsys.readouterr().out

    def test_report_names_its_path(
        self, finished: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = tmp_path / "page.html"
        assert call(monkeypatch, "report", finished.folder, "--split", "val", "--no-images", "--output", path) == 0
        assert str(path) in capsys.readouterr().out
        assert "Validation split" in path.read_text()


class TestMistake:
    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            (["fit", "retinmnist"], "did you mean 'retinamnist'?"),
            (["fit", "retinamnist", "--set", "epochs"], "--set 'epochs': write it as key=value"),
            (["fit", "retinamnist", "--set", "epoch=3"], "epoch: unknown key; did you mean 'epochs'?"),
            (["fit", "retinamnist", "--set", "data=gone.npz"], "gone.npz is not there"),
            (["fit", "retinamnist", "--set", "x[/y]"], "--set 'x[/y]': write it as key=value"),
            (["fit", "[bold]mine[/italic].yaml"], "[bold]mine[/italic].yaml"),
            (["fit", "retinamnist", "--set", "device=cuda"], "no CUDA device"),
            (["fit", "retinamnist", "--fold", "1"], "--fold and --folds go together"),
            (["fit", "retinamnist", "--resume", "--overwrite"], "contradict each other"),
            (["cross-validate", "retinamnist", "--folds", "1"], "at least 2"),
            (["evaluate", "gone"], "gone is not a run folder"),
            (["export", "gone"], "gone is not a run folder"),
            (["report", "gone"], "gone is not a run folder"),
            (["analyse", "gone"], "gone is not a run folder"),
            (["compare", "retinamnist", "--recalibration", "srm,sse"], "network.recalibration"),
            (["download", "lag"], "'lag' can't be downloaded"),
            (["download", "octmnist", "--size", "32"], "28, 64, 128, 224"),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, list) else "",
    )
    def test_is_answered_by_a_sentence(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        arguments: list[str],
        sentence: str,
    ) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        assert call(monkeypatch, *arguments) == 1
        given = capsys.readouterr()
        assert sentence in given.err
        assert given.err.startswith("Error: ")
        assert "Traceback" not in given.err
        assert given.out == ""
        assert list(tmp_path.iterdir()) == []

    def test_is_not_folded_where_nobody_looks(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        # In a log file or a pipe a path stays in one piece, so that it can be copied.
        monkeypatch.setenv("COLUMNS", "80")
        folder = tmp_path / ("long-" * 20)
        assert call(monkeypatch, "evaluate", folder) == 1
        assert str(folder) in capsys.readouterr().err

    def test_in_the_command_itself_exits_with_2(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert call(monkeypatch, "fit", "retinamnist", "--epochs", "3") == 2
        assert "--epochs" in capsys.readouterr().err

    def test_shows_no_traceback_from_the_shell(self, tmp_path: Path) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "training", "evaluate", str(tmp_path)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert "is not a run folder" in " ".join(done.stderr.split())
        assert "Traceback" not in done.stderr
        assert done.stdout == ""
