"""What several rooms' tests share: tiny packages with random weights, and image files made on the spot."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from models.architecture import Architecture
from models.card import (
    Calibration,
    Card,
    GateReference,
    InputSpec,
    Measurement,
    Parity,
    Result,
    TrainingData,
)
from models.fold import fold
from models.package import package_path, write_card
from models.resnet import ResNet

LABELS = ["normal", "glaucoma", "cataract"]


def random_network(architecture: Architecture, seed: int) -> ResNet:
    """A network whose gates and logits differ from image to image, as a trained one's do."""
    torch.manual_seed(seed)
    network = ResNet(architecture)
    with torch.no_grad():
        for name, value in network.named_parameters():
            if name.endswith("cfc"):
                value.normal_(0, 2)
        for name, buffer in network.named_buffers():
            if name.endswith("running_var"):
                buffer.uniform_(0.5, 1.5)
    return network.eval()


def tiny_card(name: str, version: str, architecture: Architecture, network: ResNet) -> Card:
    from training.packaging.compose_card import blocks_of

    gates = sum(block.channels for block in blocks_of(network))
    return Card(
        name=name,
        version=version,
        description=f"{name}, with random weights",
        task="multi-class",
        labels=LABELS,
        input=InputSpec(
            height=architecture.image_size, width=architecture.image_size, channels=architecture.in_channels
        ),
        architecture=architecture,
        blocks=blocks_of(network),
        gate_reference=GateReference(mean=[0.5] * gates, std=[0.1] * gates, images=10),
        training_data=TrainingData(
            name="made up", licence="none", source="tests", md5="0" * 32, split_rule="none", counts={"train": {}}
        ),
        measured=Measurement(
            results=[
                Result(metric="accuracy", value=0.5, interval=(0.4, 0.6), data="made up", split="test", images=10)
            ],
            interval_method="none",
            seeds=1,
            selection="none",
        ),
        calibration=Calibration(
            method="none",
            temperature=1.0,
            log_prior_shift=[0.0] * 3,
            target_prior=[1 / 3] * 3,
            ece_before=0,
            ece_after=0,
            fitted_on="nothing",
        ),
        parity=Parity(batch_sizes=[1], worst_difference={}, opset=20),
        intended_use="tests",
        limits=["random weights"],
        source_commit="unknown",
        libraries={},
        recipe={},
        created="2026-01-01T00:00:00+00:00",
    )


def write_tiny_package(repository: Path, name: str, version: str, channels: int, seed: int) -> Path:
    from training.data.pipeline import Normalisation
    from training.packaging.export import write_graph
    from training.packaging.graph import PackagedNetwork

    architecture = Architecture(
        depth=20, stem="small", width=0.5, in_channels=channels, num_classes=len(LABELS), image_size=32
    )
    network = random_network(architecture, seed)
    card = tiny_card(name, version, architecture, network)
    path = package_path(repository, name, version)
    path.parent.mkdir(parents=True)
    normalisation = Normalisation([0.5] * channels, [0.25] * channels)
    write_graph(PackagedNetwork(fold(network), normalisation, 1.0, [0.0] * len(LABELS)), card.input, path)
    write_card(path, card)
    return path


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model repository: ``colour`` in versions 1 and 2, and ``grey`` in version 1."""
    folder = tmp_path_factory.mktemp("repository")
    write_tiny_package(folder, "colour", "1", channels=3, seed=1)
    write_tiny_package(folder, "colour", "2", channels=3, seed=2)
    write_tiny_package(folder, "grey", "1", channels=1, seed=3)
    return folder


ImageMaker = Callable[..., bytes]


@pytest.fixture
def make_image() -> ImageMaker:
    """Make an image file: smooth colours and some noise, different for each seed."""

    def make(file_format: str = "JPEG", width: int = 96, height: int = 64, seed: int = 0, mode: str = "RGB") -> bytes:
        random = np.random.default_rng(seed)
        base = random.integers(0, 200, (4, 4, 3), dtype=np.uint8)
        picture = np.asarray(Image.fromarray(base).resize((width, height), Image.Resampling.BICUBIC)).astype(int)
        noisy = (picture + random.integers(0, 40, picture.shape)).clip(0, 255).astype(np.uint8)
        stream = io.BytesIO()
        Image.fromarray(noisy).convert(mode).save(stream, file_format)
        return stream.getvalue()

    return make


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data beside the checkout, where there are any; tests that need them are skipped elsewhere."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no real data in ../shared/data")
    return folder
