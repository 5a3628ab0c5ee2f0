"""Checkpoint files: every form that people have, and what is refused without running it."""

import io
import pickle
import random
import warnings
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

from models.checkpoint import read_checkpoint
from tests.models.public_weights import public_state


def same(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> bool:
    return ours.keys() == theirs.keys() and all(torch.equal(value, theirs[name]) for name, value in ours.items())


def pickled(content: object, **options: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream, **options)
    return stream.getvalue()


def zipped() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("weights.txt", "0.1 0.2")
    return stream.getvalue()


Save = Callable[[dict[str, Tensor], Path], None]
FORMS: dict[str, tuple[str, Save]] = {
    "bare": ("r18.pth", torch.save),
    "pt": ("r18.pt", torch.save),
    "state_dict": ("r18.pth", lambda s, path: torch.save({"epoch": 3, "state_dict": s, "best": 0.7}, path)),
    "model": ("r18.pth", lambda s, path: torch.save({"model": s, "args": {"lr": 0.1}}, path)),
    "module.": ("r18.pth", lambda s, path: torch.save({f"module.{name}": v for name, v in s.items()}, path)),
    "network": ("best.pt", lambda s, path: torch.save({"network": s, "raw_network": s}, path)),
    "backbone.": ("r18.pth", lambda s, path: torch.save({f"backbone.{name}": v for name, v in s.items()}, path)),
    "compiled, in Lightning": (
        "r18.pth",
        lambda s, path: torch.save({"state_dict": {f"model._orig_mod.{name}": v for name, v in s.items()}}, path),
    ),
    "state_dict and module.": (
        "r18.pth",
        lambda s, path: torch.save({"state_dict": {f"module.{name}": v for name, v in s.items()}}, path),
    ),
    "before torch 1.6": ("r18.pth", lambda s, path: torch.save(s, path, _use_new_zipfile_serialization=False)),
    "safetensors": ("r18.safetensors", safetensors.torch.save_file),
    "safetensors and module.": (
        "r18.safetensors",
        lambda s, path: safetensors.torch.save_file({f"module.{name}": v for name, v in s.items()}, path),
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_names_and_values(form: str, tmp_path: Path) -> None:
    name, save = FORMS[form]
    state = public_state()
    save(state, tmp_path / name)
    assert same(read_checkpoint(tmp_path / name), state)


def test_cifar_names_become_ours(tmp_path: Path) -> None:
    names = ["conv1.weight", "layer2.0.shortcut.0.weight", "layer2.0.shortcut.1.bias", "linear.weight"]
    torch.save({f"module.{name}": torch.zeros(1) for name in names}, tmp_path / "cifar.pth")
    expected = {"conv1.weight", "layer2.0.downsample.0.weight", "layer2.0.downsample.1.bias", "fc.weight"}
    assert read_checkpoint(tmp_path / "cifar.pth").keys() == expected


class Trap:
    """Unpickling it creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("wrapped", [False, True], ids=["bare", "beside weights"])
@pytest.mark.parametrize("name", ["model.pth", "model.pt", "model.bin", "model.safetensors"])
@pytest.mark.parametrize("form", ["zip", "legacy", "plain pickle"])
def test_a_pickle_that_runs_code_is_refused(form: str, name: str, wrapped: bool, tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"
    content: object = {**public_state(), "extra": Trap(sprung)} if wrapped else Trap(sprung)
    data = {
        "zip": lambda: pickled(content),
        "legacy": lambda: pickled(content, _use_new_zipfile_serialization=False),
        "plain pickle": lambda: pickle.dumps(content, protocol=2),
    }[form]()
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ValueError, match=r"not a checkpoint that can be loaded safely") as caught:
        read_checkpoint(tmp_path / name)

    assert not sprung.exists()
    if form == "zip" and not name.endswith(".safetensors"):
        assert "pathlib.Path" in str(caught.value)


def test_plain_pickle_runs_the_trap(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Trap(tmp_path / "sprung")))
    assert (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.pth", b""),
        ("empty.safetensors", b""),
        ("text.pth", b"hello, this is no checkpoint\n"),
        ("text.pth", b"the letter t is an instruction to a pickle machine\n"),
        ("text.pth", b"apples\n"),
        ("text.pth", b".\n"),
        ("page.pth", b"<!DOCTYPE html><title>404</title>"),
        ("pointer.pth", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 46830571\n"),
        ("garbage.safetensors", b"\xff" * 64),
        ("header.safetensors", (10**12).to_bytes(8, "little") + b"{}"),
        ("pickle.safetensors", pickled({"conv1.weight": torch.zeros(2)})),
        ("tensors.pth", safetensors.torch.save({"conv1.weight": torch.zeros(2)})),
        ("archive.pth", zipped()),
        ("list.pth", pickled([torch.zeros(2), torch.zeros(3)])),
        ("tensor.pth", pickled(torch.zeros(2))),
        ("numbers.pth", pickled({"accuracy": 0.7, "epoch": 3})),
        ("mixed.pth", pickled({"conv1.weight": torch.zeros(2), "epoch": 3})),
        ("nothing.pth", pickled({})),
        ("network.pth", pickled(torch.nn.Linear(2, 2))),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_files_that_are_no_checkpoint(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=name) as caught:
        read_checkpoint(tmp_path / name)
    assert "\n" not in str(caught.value)
    assert not str(caught.value).rstrip().endswith(":"), "the sentence stops before the reason"


def test_a_number_among_the_tensors_is_refused(tmp_path: Path) -> None:
    torch.save({**public_state(), "epoch": 3}, tmp_path / "r18.pth")
    with pytest.raises(ValueError, match="holds no state_dict: expected names with tensors"):
        read_checkpoint(tmp_path / "r18.pth")


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere.pth", tmp_path):
        with pytest.raises(ValueError, match="there is no such file"):
            read_checkpoint(path)


@pytest.mark.parametrize("form", ["bare", "before torch 1.6", "safetensors"])
def test_truncated_and_damaged_files_are_a_value_error_or_load(form: str, tmp_path: Path) -> None:
    name, save = FORMS[form]
    save({key: v for key, v in public_state().items() if not key.startswith("layer")}, tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    chance = random.Random(0)
    for cut in [*range(0, len(whole), len(whole) // 40), len(whole) - 1]:
        (tmp_path / name).write_bytes(whole[:cut])
        with pytest.raises(ValueError, match=name):
            read_checkpoint(tmp_path / name)
    for _ in range(100):
        damaged = bytearray(whole)
        for _ in range(3):
            damaged[chance.randrange(min(len(whole), 4_000))] = chance.randrange(256)
        (tmp_path / name).write_bytes(damaged)
        with warnings.catch_warnings(), suppress(ValueError):
            warnings.simplefilter("ignore")
            read_checkpoint(tmp_path / name)
