"""What the commands print: folded to a terminal, and whole lines where there is none."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import training
from tests.training.command_line import call
from training.console import create_console
from training.run import Run

ROOT = Path(__file__).resolve().parents[2]


def test_a_pipe_gets_whole_rows() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "training", "recipes"],
        cwd=ROOT,
        env=os.environ | {"COLUMNS": "80"},
        capture_output=True,
        text=True,
        check=True,
    )
    for file in (Path(training.__file__).parent / "recipes").glob("*.yaml"):
        row = next(line for line in done.stdout.splitlines() if line.startswith(f"│ {file.stem} "))
        assert yaml.safe_load(file.read_text())["card"]["description"] in row
    assert not [line for line in done.stdout.splitlines() if line.endswith(" ")]


def test_figures_and_paths_stay_on_their_line(
    finished: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setattr("training.evaluation.evaluate.evaluate", lambda run, split: run.metrics()[split])
    assert call(monkeypatch, "evaluate", finished.folder, "--split", "val") == 0
    figure = finished.metrics()["val"].metrics["macro_auc"]
    assert figure.interval is not None
    [row] = [line for line in capsys.readouterr().out.splitlines() if "macro_auc" in line]
    assert f"{figure.value:.4f}" in row
    assert "{:.4f} to {:.4f}".format(*figure.interval) in row


def test_a_terminal_has_its_own_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert create_console().width == 60
    monkeypatch.setattr(sys.stdout, "isatty", lambda: False)
    assert create_console().width > 1000
