"""What the tests of fitting share: few images, and weights to start from."""

from pathlib import Path

import pytest
import torch

from models.architecture import Architecture
from models.resnet import ResNet
from tests.training.fitting.quick import FEW
from tests.training.tiny_data import medmnist_arrays, write_medmnist


@pytest.fixture(scope="module")
def few_npz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 images to train on."""
    return write_medmnist(tmp_path_factory.mktemp("few") / "few.npz", medmnist_arrays(FEW))


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Initial weights, SRM's included, that leave nothing to chance."""
    torch.manual_seed(42)
    network = ResNet(Architecture(depth=18, stem="small", width=0.1, num_classes=5, image_size=28))
    for name, value in network.named_parameters():
        if name.endswith("cfc"):
            value.data.normal_(0, 0.5)
    path = tmp_path_factory.mktemp("weights") / "start.pth"
    torch.save(network.state_dict(), path)
    return path
