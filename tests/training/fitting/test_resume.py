"""Going on after a kill: real processes, SIGKILL, and the same weights bit for bit."""

import resource
import shutil
from functools import partial
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.training.killed import processes, run_process
from tests.training.run_folder import curves, epochs
from tests.training.tiny_data import medmnist_arrays, tiny_recipe, write_medmnist
from training.errors import TrainingError
from training.fitting import assembly
from training.fitting.checkpoints import Checkpoints
from training.fitting.engine import fit
from training.recipe import Recipe
from training.run import Run

FEW = {"train": (12, 8, 6, 4, 4), "val": (2, 2, 2, 2, 2), "test": (1, 1, 1, 1, 1)}
STEPS = 4  # an epoch: 34 images in batches of 8
KILLED = -9
TIMES = {"images_per_second", "seconds"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_medmnist(tmp_path_factory.mktemp("data") / "few.npz", medmnist_arrays(FEW))


@pytest.fixture(scope="module")
def context() -> ForkServerContext:
    return processes()


def everything(data: Path, **changes: Any) -> Recipe:
    """A recipe in which every source of random numbers and every kind of state takes part."""
    return tiny_recipe(
        data,
        **{
            "epochs": 2,
            "batch_size": 8,
            "checkpoint_every": 3,
            "ema_decay": 0.9,
            "network": {"depth": 20, "dropout": 0.2, "width": 0.25},
            "loss": {"mixup": 0.5, "cutmix": 1.0},
            "augmentation": {"noise": 0.1, "brightness": 0.1},
            "optimiser": {"clip_norm": 1.0},
            "precision": "float16",
            "accumulate": 2,
            "schedule": {"warmup": 0.2},
        }
        | changes,
    )


@pytest.fixture(scope="module")
def unbroken(data: Path, context: ForkServerContext, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("unbroken") / "run"
    assert run_process(context, everything(data), folder, "never", 0, False) == 0
    return Run(folder)


def same_bits(one: Run, other: Run) -> bool:
    """Whether best and last weights, averaged and raw, agree in every bit."""
    same = []
    for which in ("best", "last"):
        a, b = (torch.load(run.checkpoint(which), weights_only=True) for run in (one, other))
        assert a.keys() == b.keys()
        same += [torch.equal(a[part][name], b[part][name]) for part in a for name in a[part]]
    return all(same)


def untimed(run: Run) -> list[dict[str, str]]:
    """The rows of ``curves.csv`` without what depends on the clock."""
    return [{name: value for name, value in row.items() if name not in TIMES} for row in epochs(run)]


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("step", 1),  # before any checkpoint
        ("half written", 2),  # best.pt of the first epoch
        ("half written", 3),  # the row of the first epoch is there, its checkpoint is not
        ("half written", 4),  # a checkpoint amid the second epoch
        ("after epoch", 2),  # validated, not yet saved
        ("finish", 1),  # all steps done, last.pt not written
    ],
)
def test_ends_with_the_same_bits(
    data: Path, context: ForkServerContext, unbroken: Run, tmp_path: Path, moment: str, number: int
) -> None:
    recipe, run = everything(data), Run(tmp_path / "run")
    assert run_process(context, recipe, run.folder, moment, number, True) == KILLED
    assert not run.finished()
    assert run_process(context, recipe, run.folder, "never", 0, True) == 0
    assert same_bits(run, unbroken)
    assert curves(run) == curves(unbroken)  # nothing twice, nothing missing
    assert untimed(run) == untimed(unbroken)
    assert not list(run.folder.rglob("*.part"))


def test_killed_again_and_again_ends_with_the_same_bits(
    data: Path, context: ForkServerContext, unbroken: Run, tmp_path: Path
) -> None:
    recipe, run = everything(data), Run(tmp_path / "run")
    kills = 0
    while run_process(context, recipe, run.folder, "step", 4, True) == KILLED:
        kills += 1
        assert kills < 10
    assert kills >= 2
    assert same_bits(run, unbroken)
    assert curves(run) == curves(unbroken)
    assert untimed(run) == untimed(unbroken)


@pytest.fixture(scope="module")
def killed_at_8(data: Path, context: ForkServerContext, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("killed") / "run"
    assert run_process(context, everything(data), folder, "step", 8, False) == KILLED
    return folder


class TestDamage:
    """A run killed at its eighth step: checkpoints of steps 4 and 6 are there."""

    @pytest.fixture
    def killed(self, killed_at_8: Path, tmp_path: Path) -> Run:
        return Run(Path(shutil.copytree(killed_at_8, tmp_path / "run")))

    def files(self, run: Run) -> list[Path]:
        return sorted(run.checkpoint_folder.iterdir())

    def test_two_checkpoints_are_kept(self, killed: Run) -> None:
        assert [path.name[:13] for path in self.files(killed)] == ["step-00000004", "step-00000006"]
        for path in self.files(killed):
            assert torch.load(path, weights_only=True)["iteration"] == int(path.name[5:13])

    @pytest.mark.parametrize("damage", ["truncated", "flipped"])
    def test_falls_back_to_the_one_before(self, data: Path, killed: Run, unbroken: Run, damage: str) -> None:
        newest = self.files(killed)[-1]
        content = bytearray(newest.read_bytes())
        if damage == "flipped":
            content[len(content) // 2] ^= 1
        newest.write_bytes(content[:-100] if damage == "truncated" else content)
        with pytest.warns(UserWarning, match=rf"{newest.name} is damaged: going on from the checkpoint before it"):
            fit(everything(data), killed.folder, resume=True, progress=False)
        assert same_bits(killed, unbroken)
        assert curves(killed) == curves(unbroken)

    def test_of_a_row_that_was_cut_off_is_made_good(self, data: Path, killed: Run, unbroken: Run) -> None:
        with killed.curves_path.open("a") as file:
            file.write("1")  # of 10, say: an epoch that no checkpoint holds
        fit(everything(data), killed.folder, resume=True, progress=False)
        assert untimed(killed) == untimed(unbroken)

    def test_a_full_disk_is_a_sentence_and_loses_nothing(self, data: Path, killed: Run, unbroken: Run) -> None:
        before = {path: path.read_bytes() for path in self.files(killed)}
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
        try:
            with pytest.raises(TrainingError, match=r"can't be written \(File too large\).*--resume"):
                fit(everything(data), killed.folder, resume=True, progress=False)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert {path: path.read_bytes() for path in self.files(killed)} == before
        fit(everything(data), killed.folder, resume=True, progress=False)
        assert same_bits(killed, unbroken)

    def test_of_all_checkpoints_is_a_sentence(self, data: Path, killed: Run) -> None:
        for path in self.files(killed):
            path.write_bytes(b"x")
        with (
            pytest.warns(UserWarning, match="is damaged"),
            pytest.raises(TrainingError, match=r"no checkpoint in .* is whole: start the run again with --overwrite"),
        ):
            fit(everything(data), killed.folder, resume=True, progress=False)

    def test_of_best_is_made_good(self, data: Path, killed: Run, unbroken: Run) -> None:
        killed.checkpoint("best").write_bytes(b"x")
        fit(everything(data), killed.folder, resume=True, progress=False)
        assert same_bits(killed, unbroken)

    @pytest.mark.parametrize(
        ("changes", "sentence"),
        [
            ({"epochs": 4}, r"epochs was 2 and is 4.*--run"),
            (
                {"optimiser": {"clip_norm": 1.0, "weight_decay": 0.5}},
                r"optimiser\.weight_decay was 0\.0001 and is 0\.5",
            ),
            ({"seed": 1}, "seed was 0 and is 1"),
        ],
    )
    def test_a_changed_recipe_is_refused(self, data: Path, killed: Run, changes: dict[str, Any], sentence: str) -> None:
        before = {path: path.read_bytes() for path in self.files(killed)}
        with pytest.raises(TrainingError, match=sentence):
            fit(everything(data, **changes), killed.folder, resume=True, progress=False)
        assert {path: path.read_bytes() for path in self.files(killed)} == before

    def test_changed_data_are_refused(self, data: Path, killed: Run, tmp_path: Path) -> None:
        original = data.read_bytes()
        try:
            write_medmnist(data, medmnist_arrays(FEW, seed=9))
            with pytest.raises(TrainingError, match=r"changed since the run started \(MD5"):
                fit(everything(data), killed.folder, resume=True, progress=False)
        finally:
            data.write_bytes(original)

    def test_without_resume_the_run_is_kept(self, data: Path, killed: Run) -> None:
        with pytest.raises(TrainingError, match=r"holds a run already.*--resume"):
            fit(everything(data), killed.folder, progress=False)
        assert len(self.files(killed)) == 2

    def test_another_number_of_processes_is_refused(
        self, data: Path, killed: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("training.fitting.resume.world_size", lambda: 2)
        with pytest.raises(TrainingError, match=r"started with 1 process\(es\) and can't go on with 2"):
            fit(everything(data), killed.folder, resume=True, progress=False)


def test_a_finished_run_is_left_as_it_is(data: Path, unbroken: Run) -> None:
    before = {path: path.stat().st_mtime_ns for path in unbroken.folder.rglob("*")}
    fit(everything(data), unbroken.folder, resume=True, progress=False)
    assert {path: path.stat().st_mtime_ns for path in unbroken.folder.rglob("*")} == before
    assert not unbroken.checkpoint_folder.exists()


def test_the_scale_of_the_loss_goes_on(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of the first steps overflows, and halves it."""
    monkeypatch.setattr(assembly, "GradScaler", partial(torch.GradScaler, init_scale=2.0**40))
    save = Checkpoints.save

    def save_and_stop(checkpoints: Checkpoints, iteration: int, state: dict[str, Any]) -> None:
        save(checkpoints, iteration, state)
        scales.append((iteration, state["scaler"]["scale"]))
        raise InterruptedError

    scales: list[tuple[int, float]] = []
    monkeypatch.setattr(Checkpoints, "save", save_and_stop)
    for resume in (False, True):
        with pytest.raises(InterruptedError):
            fit(everything(data), tmp_path / "run", resume=resume, progress=False)
    assert scales == [(3, 2.0**37), (4, 2.0**36)]


def test_early_stopping_resumes_its_count(data: Path, context: ForkServerContext, tmp_path: Path) -> None:
    # At this rate nothing improves for long: the run stops one epoch after its best.
    recipe = everything(data, epochs=9, patience=1, optimiser={"learning_rate": 1e-12}, ema_decay=0)
    whole, broken = fit(recipe, tmp_path / "whole", progress=False), Run(tmp_path / "broken")
    aucs = [value for _, value in curves(whole)["macro_auc"]]
    assert len(aucs) == int(np.argmax(aucs)) + 2 < 9
    assert run_process(context, recipe, broken.folder, "finish", 1, True) == KILLED
    fit(recipe, broken.folder, resume=True, progress=False)  # which must not train another epoch
    assert curves(broken) == curves(whole)
    assert same_bits(broken, whole)
