"""The execution provider that is chosen, and batches of fixed sizes as a GPU runs them."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from service.inference import execution, runtime
from service.inference.execution import CPU, CUDA, Execution, ProviderError, fixed_sizes, providers
from service.inference.repository import Repository
from service.inference.runtime import load_model
from tests.service.packages import by_hand


def test_a_forced_provider_that_is_missing_is_an_error(repository: Path) -> None:
    if CUDA in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has CUDA")
    with pytest.raises(ProviderError, match="onnxruntime-gpu"):
        Repository.load(repository, Execution("cuda", 1))
    assert providers("auto") == [CPU]


def test_a_provider_that_is_listed_but_does_not_start_is_an_error(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA, CPU])
    assert providers("auto") == [CUDA, CPU]
    package = repository / "colour" / "1" / "model.onnx"
    with (
        pytest.warns(UserWarning, match="CUDAExecutionProvider"),
        pytest.raises(ProviderError, match="could not start"),
    ):
        load_model(package, version="1", execution=Execution("cuda", 1))
    with pytest.warns(UserWarning, match="CUDAExecutionProvider"):
        assert load_model(package, version="1", execution=Execution("auto", 1)).provider == CPU


def test_sizes_grow_by_four_up_to_the_largest() -> None:
    assert fixed_sizes(1) == [1]
    assert fixed_sizes(16) == [1, 4, 16]
    assert fixed_sizes(20) == [1, 4, 16, 20]


class Watched:
    """A session on the CPU that remembers the batch sizes it saw."""

    def __init__(self, content: bytes, _: Execution) -> None:
        self.session = onnxruntime.InferenceSession(content, providers=[CPU])
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
    monkeypatch.setattr(runtime, "CUDA", CPU)
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


def test_tf32_is_off_unless_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    class Session:
        def __init__(self, *_: Any, providers: list[Any]) -> None:
            seen.extend(providers)

        def get_providers(self) -> list[str]:
            return [CUDA, CPU]

    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA, CPU])
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None)
    for asked in (False, True):
        execution.create_session(b"", Execution("cuda", 1, tf32=asked))
    assert [options["use_tf32"] for name, options in seen if name == CUDA] == ["0", "1"]
