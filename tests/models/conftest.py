"""What the tests of this room share: networks as if trained, and a complete model card."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn

from models.architecture import Architecture
from models.resnet import ResNet


def as_if_trained(architecture: Architecture, seed: int = 0) -> ResNet:
    """A network in evaluation mode, with random scales, shifts and gates, and batch statistics measured on noise."""
    torch.manual_seed(seed)
    network = ResNet(architecture)
    with torch.no_grad():
        for name, value in network.named_parameters():
            if name.endswith("cfc"):
                value.normal_()
            elif name.endswith("bias"):
                value.uniform_(-0.5, 0.5)
            elif value.ndim == 1:
                value.uniform_(0.5, 1.5)
        for block in network.blocks().values():
            last = block.bn3 if block.bottleneck else block.bn2
            last.weight.uniform_(0.1, 0.3)  # features of order 1 however many blocks add up, as training makes them
        norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
        for norm in norms:
            norm.momentum = None  # the statistics of the next batch replace those at the start
        network.train()(torch.randn(8, architecture.in_channels, architecture.image_size, architecture.image_size))
        for norm in norms:
            norm.momentum = 0.1
    return network.eval()


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Networks this small lose more by sharing the work than they gain."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def card_fields() -> dict[str, Any]:
    """A complete card as JSON would hold it: 3 labels, 2 blocks with 2 + 3 gates."""
    return {
        "schema_version": 1,
        "name": "oct-small",
        "version": "12",
        "description": "Four findings on OCT B-scans",
        "task": "multi-class",
        "labels": ["normal", "drusen", "oedema"],
        "input": {"height": 6, "width": 4, "channels": 3, "crop": "none", "interpolation": "bilinear"},
        "architecture": {
            "depth": 20,
            "recalibration": "srm",
            "stem": "small",
            "width": 0.25,
            "in_channels": 3,
            "num_classes": 3,
            "image_size": 64,
            "correction": 0,
            "dropout": 0.1,
        },
        "blocks": [
            {"name": "layer1.0", "offset": 0, "channels": 2},
            {"name": "layer1.1", "offset": 2, "channels": 3},
        ],
        "gate_reference": {"mean": [0.5, 0.4, 0.3, 0.2, 0.1], "std": [0.1, 0.1, 0.2, 0.2, 0.3], "images": 100},
        "training_data": {
            "name": "made up",
            "licence": "CC0",
            "source": "https://example.org",
            "md5": "d41d8cd98f00b204e9800998ecf8427e",
            "split_rule": "by patient",
            "counts": {"train": {"normal": 60, "drusen": 30, "oedema": 10}},
        },
        "measured": {
            "results": [
                {"metric": "AUC", "value": 0.91, "interval": [0.88, 0.94], "data": "x", "split": "test", "images": 40},
                {"metric": "kappa", "value": -0.1, "interval": None, "data": "x", "split": "test", "images": 40},
            ],
            "interval_method": "bootstrap by patient",
            "seeds": 1,
            "selection": "last epoch",
            "confusion": [[20, 1, 0], [2, 9, 1], [0, 1, 6]],
            "reliability": [{"confidence": 0.7, "accuracy": 0.8, "images": 40}],
        },
        "calibration": {
            "method": "temperature scaling",
            "temperature": 1.4,
            "log_prior_shift": [0.1, -0.2, 0.3],
            "target_prior": [0.5, 0.3, 0.2],
            "ece_before": 0.08,
            "ece_after": 0.03,
            "fitted_on": "validation split",
        },
        "conformal": None,
        "parity": {"batch_sizes": [1, 7], "worst_difference": {"probabilities": 1e-7}, "opset": 20},
        "intended_use": "research",
        "limits": ["not a medical device"],
        "source_commit": "0123abc",
        "libraries": {"torch": "2.13.0"},
        "recipe": {"epochs": 10, "loss": {"name": "cross-entropy", "weights": [1.0, 2.5]}, "notes": None},
        "created": "2026-01-01T00:00:00+00:00",
    }
