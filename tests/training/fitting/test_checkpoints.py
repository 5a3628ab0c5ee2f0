"""Checkpoint files: whole or not there, checked by their sum, two of them."""

import hashlib
from pathlib import Path

import pytest
import torch

from training.fitting.checkpoints import Checkpoints


def test_are_torch_files_with_their_sum_in_the_name(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    for step in (5, 10, 20):
        checkpoints.save(step, {"iteration": step, "values": torch.full((3,), float(step))})
    files = sorted((tmp_path / "checkpoints").iterdir())
    assert [int(path.name[5:13]) for path in files] == [10, 20]
    for path in files:
        assert path.stem.endswith(hashlib.sha256(path.read_bytes()).hexdigest()[:16])
    state = Checkpoints(tmp_path / "checkpoints").load()
    assert state is not None
    assert torch.equal(state["values"], torch.full((3,), 20.0))


def test_no_checkpoint_gives_none(tmp_path: Path) -> None:
    assert Checkpoints(tmp_path / "checkpoints").load() is None


def test_a_damaged_one_does_not_count_among_the_two(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, {"iteration": 1})
    checkpoints.save(2, {"iteration": 2})
    newest = max(tmp_path.iterdir())
    newest.write_bytes(newest.read_bytes()[:-1])
    again = Checkpoints(tmp_path)
    with pytest.warns(UserWarning, match="is damaged"):
        assert again.load() == {"iteration": 1}
    again.save(3, {"iteration": 3})
    assert [int(path.name[5:13]) for path in sorted(tmp_path.iterdir())] == [1, 3]


def test_a_pickle_that_runs_code_is_not_loaded(tmp_path: Path) -> None:
    content = b"cos\nsystem\n(S'touch pwned'\ntR."
    (tmp_path / f"step-00000001-{hashlib.sha256(content).hexdigest()[:16]}.pt").write_bytes(content)
    with pytest.raises(Exception, match=r"(?i)weights"):
        Checkpoints(tmp_path).load()
