"""Public checkpoints: what loads, what the report says, and what is refused."""

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

from models.architecture import Architecture
from models.checkpoint import load_initial_weights
from models.resnet import ResNet

WIDTH = 1 / 16
BLOCKS = [f"layer{stage}.{index}" for stage in (1, 2, 3, 4) for index in (0, 1)]
GATE_VALUES = (
    "cfc",
    "bn.weight",
    "bn.bias",
    "bn.running_mean",
    "bn.running_var",
    "bn.num_batches_tracked",
)


def batch_norm(prefix: str, channels: int) -> dict[str, Tensor]:
    return {
        f"{prefix}.weight": torch.randn(channels),
        f"{prefix}.bias": torch.randn(channels),
        f"{prefix}.running_mean": torch.randn(channels),
        f"{prefix}.running_var": torch.rand(channels) + 0.5,
        f"{prefix}.num_batches_tracked": torch.tensor(12_345),
    }


def public_state(classes: int = 1000) -> dict[str, Tensor]:
    """A state_dict as torchvision's resnet18 has it, 4 channels wide, with random values."""
    torch.manual_seed(5)
    state = {"conv1.weight": torch.randn(4, 3, 7, 7), **batch_norm("bn1", 4)}
    for block in BLOCKS:
        stage, first = int(block[5]), block.endswith(".0")
        channels = 4 * 2 ** (stage - 1)
        before = channels // 2 if first and stage > 1 else channels
        state |= {f"{block}.conv1.weight": torch.randn(channels, before, 3, 3), **batch_norm(f"{block}.bn1", channels)}
        state |= {f"{block}.conv2.weight": torch.randn(channels, channels, 3, 3)}
        state |= batch_norm(f"{block}.bn2", channels)
        if first and stage > 1:
            state |= {f"{block}.downsample.0.weight": torch.randn(channels, before, 1, 1)}
            state |= batch_norm(f"{block}.downsample.1", channels)
    return state | {"fc.weight": torch.randn(classes, 32), "fc.bias": torch.randn(classes)}


def srm_network(classes: int = 3) -> ResNet:
    torch.manual_seed(6)
    return ResNet(Architecture(depth=18, recalibration="srm", width=WIDTH, num_classes=classes))


def copied(network: ResNet) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


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
def test_loads_plain_weights_into_a_recalibrated_network(form: str, tmp_path: Path) -> None:
    name, save = FORMS[form]
    state, network = public_state(classes=1000), srm_network(classes=3)
    save(state, tmp_path / name)
    before = copied(network)

    report = load_initial_weights(network, tmp_path / name)

    gates = {f"{block}.recalibration.{value}" for block in BLOCKS for value in GATE_VALUES}
    head = {"fc.weight", "fc.bias"}
    assert set(report.loaded) == state.keys() - head
    assert set(report.missing) == gates | head
    assert report.skipped == {
        "fc.weight": "shape (1000, 32), the network's is (3, 32)",
        "fc.bias": "shape (1000,), the network's is (3,)",
    }
    after = network.state_dict()
    assert all(torch.equal(after[name], state[name]) for name in report.loaded)
    assert all(torch.equal(after[name], before[name]) for name in report.missing)


def test_nothing_is_counted_twice(tmp_path: Path) -> None:
    torch.save(public_state(), tmp_path / "r18.pth")
    report = load_initial_weights(srm_network(), tmp_path / "r18.pth")
    for names in (report.loaded, report.missing):
        assert len(names) == len(set(names))


def test_the_head_loads_where_the_classes_agree(tmp_path: Path) -> None:
    state, network = public_state(classes=3), srm_network(classes=3)
    torch.save(state, tmp_path / "r18.pth")
    report = load_initial_weights(network, tmp_path / "r18.pth")
    assert report.skipped == {}
    assert torch.equal(network.fc.weight, state["fc.weight"])


def test_another_first_convolution_is_skipped_with_both_shapes(tmp_path: Path) -> None:
    torch.save(public_state(), tmp_path / "r18.pth")
    network = ResNet(Architecture(depth=18, width=WIDTH, in_channels=1))
    report = load_initial_weights(network, tmp_path / "r18.pth")
    assert report.skipped == {"conv1.weight": "shape (4, 3, 7, 7), the network's is (4, 1, 7, 7)"}
    assert "conv1.weight" in report.missing


def test_the_same_number_of_values_in_another_shape_is_skipped(tmp_path: Path) -> None:
    torch.save(public_state() | {"conv1.weight": torch.zeros(3, 4, 7, 7)}, tmp_path / "r18.pth")
    report = load_initial_weights(srm_network(classes=1000), tmp_path / "r18.pth")
    assert report.skipped == {"conv1.weight": "shape (3, 4, 7, 7), the network's is (4, 3, 7, 7)"}


def test_values_that_the_network_lacks_are_skipped(tmp_path: Path) -> None:
    torch.save(public_state() | {"layer5.0.conv1.weight": torch.zeros(2)}, tmp_path / "r18.pth")
    report = load_initial_weights(srm_network(classes=1000), tmp_path / "r18.pth")
    assert report.skipped == {"layer5.0.conv1.weight": "the network has no such value"}


def test_checkpoints_from_before_num_batches_tracked(tmp_path: Path) -> None:
    """torchvision's own files of 2017 have none."""
    old = {name: v for name, v in public_state().items() if not name.endswith("num_batches_tracked")}
    torch.save(old, tmp_path / "old.pth")
    network = srm_network(classes=1000)
    report = load_initial_weights(network, tmp_path / "old.pth")
    assert set(report.loaded) == old.keys()
    assert network.bn1.num_batches_tracked == 0
    assert {"bn1.num_batches_tracked", "layer4.1.bn2.num_batches_tracked"} <= set(report.missing)


def test_num_batches_tracked_is_taken_over(tmp_path: Path) -> None:
    torch.save(public_state(), tmp_path / "r18.pth")
    network = srm_network()
    load_initial_weights(network, tmp_path / "r18.pth")
    assert network.bn1.num_batches_tracked == 12_345


def test_half_precision_weights_become_the_networks_own(tmp_path: Path) -> None:
    state = {name: value.half() if value.is_floating_point() else value for name, value in public_state().items()}
    torch.save(state, tmp_path / "half.pth")
    network = srm_network()
    load_initial_weights(network, tmp_path / "half.pth")
    assert network.conv1.weight.dtype == torch.float32
    assert torch.equal(network.conv1.weight, state["conv1.weight"].float())


def test_loaded_weights_still_train(tmp_path: Path) -> None:
    torch.save(public_state(), tmp_path / "r18.pth")
    network = srm_network()
    parameters = dict(network.named_parameters())
    load_initial_weights(network, tmp_path / "r18.pth")
    assert dict(network.named_parameters()).keys() == parameters.keys()
    for name, value in network.named_parameters():
        assert value is parameters[name]
        assert value.requires_grad


def test_report_as_text(tmp_path: Path) -> None:
    path = tmp_path / "r18.pth"
    torch.save(public_state(), path)
    lines = str(load_initial_weights(srm_network(), path)).splitlines()
    assert lines[0] == f"{path}: 120 loaded, 50 missing, 2 skipped"
    assert "  missing: layer1.0.recalibration.cfc" in lines
    assert "  skipped: fc.bias (shape (1000,), the network's is (3,))" in lines
    assert len(lines) == 1 + 50 + 2


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
    network = srm_network()
    before = copied(network)

    with pytest.raises(ValueError, match=r"not a checkpoint that can be loaded safely"):
        load_initial_weights(network, tmp_path / name)

    assert not sprung.exists()
    assert same(network.state_dict(), before)


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
        load_initial_weights(srm_network(), tmp_path / name)
    assert "\n" not in str(caught.value)
    assert not str(caught.value).rstrip().endswith(":"), "the sentence stops before the reason"


def test_a_number_among_the_tensors_is_refused(tmp_path: Path) -> None:
    torch.save({**public_state(), "epoch": 3}, tmp_path / "r18.pth")
    network = srm_network()
    before = copied(network)
    with pytest.raises(ValueError, match="holds no state_dict: expected names with tensors"):
        load_initial_weights(network, tmp_path / "r18.pth")
    assert same(network.state_dict(), before)


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere.pth", tmp_path):
        with pytest.raises(ValueError, match="there is no such file"):
            load_initial_weights(srm_network(), path)


@pytest.mark.parametrize("form", ["bare", "before torch 1.6", "safetensors"])
def test_truncated_and_damaged_files_are_a_value_error_or_load(form: str, tmp_path: Path) -> None:
    name, save = FORMS[form]
    save({key: v for key, v in public_state().items() if not key.startswith("layer")}, tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    network, chance = srm_network(), random.Random(0)
    for cut in [*range(0, len(whole), len(whole) // 40), len(whole) - 1]:
        (tmp_path / name).write_bytes(whole[:cut])
        with pytest.raises(ValueError, match=name):
            load_initial_weights(network, tmp_path / name)
    for _ in range(100):
        damaged = bytearray(whole)
        for _ in range(3):
            damaged[chance.randrange(min(len(whole), 4_000))] = chance.randrange(256)
        (tmp_path / name).write_bytes(damaged)
        with warnings.catch_warnings(), suppress(ValueError):
            warnings.simplefilter("ignore")
            load_initial_weights(network, tmp_path / name)


def test_nothing_in_common_leaves_the_network_alone(tmp_path: Path) -> None:
    path = tmp_path / "vgg.pth"
    torch.save({"features.0.weight": torch.zeros(64, 3, 3, 3), "conv1.weight": torch.zeros(1, 2, 3, 4)}, path)
    network = srm_network()
    before = copied(network)
    with pytest.raises(ValueError, match=r"vgg.pth: none of its 2 values fits the network"):
        load_initial_weights(network, path)
    assert same(network.state_dict(), before)
