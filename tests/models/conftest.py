"""What the tests of this room share: one thread for torch, where it is at hand, and a complete model card."""

import sys
from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Networks this small lose more by sharing the work than they gain."""
    torch = sys.modules.get("torch")  # loaded by the tests of networks; the others run without it
    if torch is None:
        yield
        return
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
        "input": {
            "height": 6,
            "width": 4,
            "channels": 3,
            "content": "all",
            "crop": "none",
            "interpolation": "bilinear",
        },
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
            "reliability": [{"confidence": 0.7, "accuracy": 0.8, "images": 40, "share": 1.0}],
            "effective_images": 31.0,
            "perturbations": [
                {
                    "name": "dark",
                    "meaning": "brightness times 0.5",
                    "metric": "AUC",
                    "value": 0.71,
                    "difference": -0.2,
                    "interval": [-0.3, -0.1],
                    "flagged": 0.6,
                },
            ],
        },
        "calibration": {
            "method": "temperature scaling",
            "temperature": 1.4,
            "log_prior_shift": [0.1, -0.2, 0.3],
            "target_prior": [0.5, 0.3, 0.2],
            "ece_before": 0.08,
            "ece_after": 0.03,
            "ece_interval": [0.02, 0.06],
            "effective_images": 41.5,
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
