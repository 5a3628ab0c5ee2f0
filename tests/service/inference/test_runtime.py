"""Loading packages and choosing the execution provider."""

from pathlib import Path

import onnxruntime
import pytest

from service.inference.repository import Repository
from service.inference.runtime import CPU, CUDA, ProviderError, load_model, providers
from tests.conftest import write_tiny_package


def test_a_forced_provider_that_is_missing_is_an_error(repository: Path) -> None:
    if CUDA in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has CUDA")
    with pytest.raises(ProviderError, match="onnxruntime-gpu"):
        Repository.load(repository, provider="cuda", threads=1)
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
        load_model(package, version="1", provider="cuda", threads=1)
    with pytest.warns(UserWarning, match="CUDAExecutionProvider"):
        assert load_model(package, version="1", provider="auto", threads=1).provider == CPU


def test_write_tiny_package_refuses_to_overwrite(tmp_path: Path) -> None:
    """The fixture itself: two packages never share a folder."""
    (tmp_path / "a" / "1").mkdir(parents=True)
    with pytest.raises(FileExistsError):
        write_tiny_package(tmp_path, "a", "1", channels=1, seed=0)
