"""Batches of fixed sizes, as a GPU runs them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.inference import runtime
from service.inference.execution import Execution, create_session, fixed_sizes
from service.inference.providers import CPU
from service.inference.runtime import load_model
from tests.service.packages import by_hand


def test_sizes_grow_by_four_up_to_the_largest() -> None:
    assert fixed_sizes(1) == [1]
    assert fixed_sizes(16) == [1, 4, 16]
    assert fixed_sizes(20) == [1, 4, 16, 20]


class Watched:
    """A session on the CPU that remembers the batch sizes it saw."""

    def __init__(self, content: bytes, _: Execution) -> None:
        self.session = create_session(content, Execution("cpu", 1))
        self.sizes: list[int] = []

    def run(self, names: list[str], feed: dict[str, Any]) -> Any:
        self.sizes.append(len(feed["image"]))
        return self.session.run(names, feed)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.session, name)


def test_a_gpu_s_session_sees_one_batch_size_and_answers_the_same(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the provider is CUDA, here said of the CPU, whatever number of images comes."""
    sessions: list[Watched] = []

    def create(content: bytes, asked: Execution) -> Watched:
        sessions.append(Watched(content, asked))
        return sessions[-1]

    monkeypatch.setattr(runtime, "create_session", create)
    monkeypatch.setattr(runtime, "ON_NVIDIA", {CPU})
    package = repository / "colour" / "1" / "model.onnx"
    model = load_model(package, version="1", execution=Execution("cuda", 1, largest_batch=16))
    warm = [len(session.sizes) for session in sessions]
    random = np.random.default_rng(0)
    for count in (1, 2, 4, 5, 16, 3, 1):
        images = random.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
        answers = model.run(images)
        for found, expected in zip(
            (answers.probabilities, answers.recalibration_weights, answers.class_activation),
            by_hand(package, images),
            strict=True,
        ):
            np.testing.assert_allclose(found, expected, atol=1e-6)
    assert [set(session.sizes) for session in sessions] == [{1}, {4}, {16}]
    assert 0 not in warm, "a size was not run before the first request"
