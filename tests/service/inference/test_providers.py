"""Execution providers: the list and its order, options, errors, and which provider really runs the nodes."""

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnx
import onnxruntime
import pytest

from models.package import PackageError
from service.inference.execution import Execution, create_session
from service.inference.providers import (
    CPU,
    CUDA,
    NAMES,
    OPENVINO,
    TENSORRT,
    ProviderError,
    chain,
    nodes_by_provider,
    provider_of,
)
from service.inference.runtime import load_model


def built_with(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Let ONNX Runtime say that it was built with these."""
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [*names, CPU])
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None)


@pytest.fixture
def package(repository: Path) -> Path:
    return repository / "colour" / "1" / "model.onnx"


class Sessions:
    """Stands for ``onnxruntime.InferenceSession``: some providers raise, some are left out, some take no node."""

    def __init__(self, *, raising: str = "", absent: str = "", idle: str = "") -> None:
        self.raising, self.absent, self.idle = raising, absent, idle
        self.asked: list[dict[str, dict[str, str]]] = []

    def __call__(self, content: bytes, _: Any, *, providers: Any, enable_fallback: int) -> Any:
        assert not enable_fallback, "ONNX Runtime would go to the CPU without a word"
        self.asked.append(dict(providers))
        names = [name for name, _ in providers]
        if content == b"broken" or self.raising in names:
            raise RuntimeError("/source.cc:7 void f(const Options&) Invalid option: bogus")
        names.remove(self.absent) if self.absent else None
        busy = next(name for name in names if name != self.idle)
        parts = [SimpleNamespace(ep_name=busy, get_nodes=lambda: [1, 2, 3])]
        return SimpleNamespace(get_providers=lambda: names, get_provider_graph_assignment_info=lambda: parts)


def session_of(monkeypatch: pytest.MonkeyPatch, wanted: str, sessions: Sessions, **given: Any) -> Any:
    monkeypatch.setattr(onnxruntime, "InferenceSession", sessions)
    return create_session(given.pop("content", b""), Execution(wanted, 3, **given))


@pytest.mark.parametrize(
    ("wanted", "built", "expected"),
    [
        ("auto", [], [CPU]),
        ("auto", [TENSORRT, CUDA], [CUDA, CPU]),
        ("auto", [OPENVINO], [CPU]),
        ("cpu", [TENSORRT, CUDA], [CPU]),
        ("cuda", [TENSORRT, CUDA], [CUDA]),
        ("tensorrt,cuda,cpu", [TENSORRT, CUDA], [TENSORRT, CUDA, CPU]),
        ("cuda,tensorrt", [TENSORRT, CUDA], [CUDA, TENSORRT]),
        ("cuda,openvino,cpu", [OPENVINO], [OPENVINO, CPU]),
    ],
)
def test_the_list_in_its_order_less_what_is_not_installed(
    monkeypatch: pytest.MonkeyPatch, wanted: str, built: list[str], expected: list[str]
) -> None:
    built_with(monkeypatch, *built)
    assert chain(wanted) == expected


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ("cuda", "has no CUDA: for CUDA install onnxruntime-gpu in place"),
        ("tensorrt,cuda", "no TensorRT or CUDA: for TensorRT install TensorRT, and onnxruntime-gpu"),
        ("openvino", "has no OpenVINO: for OpenVINO install onnxruntime-openvino in place of onnxruntime"),
    ],
)
def test_what_is_not_installed_is_an_error_that_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, package: Path, wanted: str, words: str
) -> None:
    built_with(monkeypatch)
    with pytest.raises(ProviderError, match=words):
        load_model(package, version="1", execution=Execution(wanted, 1))


@pytest.mark.parametrize("name", ["cuda", "openvino", "tensorrt"])
def test_a_provider_that_is_listed_but_does_not_start(
    monkeypatch: pytest.MonkeyPatch, package: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The real ONNX Runtime leaves it out with a warning, as it does where a provider's library can't be loaded."""
    if NAMES[name] in onnxruntime.get_available_providers():
        pytest.skip(f"this ONNX Runtime has {name}")
    built_with(monkeypatch, CUDA, OPENVINO, TENSORRT)
    with pytest.warns(UserWarning, match="ExecutionProvider"), pytest.raises(ProviderError, match="could not start"):
        load_model(package, version="1", execution=Execution(name, 1))
    with pytest.warns(UserWarning, match="ExecutionProvider"), caplog.at_level(logging.WARNING):
        assert load_model(package, version="1", execution=Execution(f"{name},cpu", 1)).provider == CPU
    assert f"RETINA_PROVIDER={name},cpu: the model runs on CPU" in caplog.text


def test_auto_goes_to_the_cpu_and_says_so(
    monkeypatch: pytest.MonkeyPatch, package: Path, caplog: pytest.LogCaptureFixture
) -> None:
    if CUDA in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has CUDA")
    built_with(monkeypatch, CUDA)
    with pytest.warns(UserWarning, match="CUDAExecutionProvider"), caplog.at_level(logging.WARNING):
        assert load_model(package, version="1", execution=Execution("auto", 1)).provider == CPU
    assert "RETINA_PROVIDER=auto: the model runs on CPU" in caplog.text


def test_the_next_of_the_list_takes_over(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    built_with(monkeypatch, TENSORRT, CUDA)
    for fault in ({"raising": TENSORRT}, {"absent": TENSORRT}, {"idle": TENSORRT}):
        caplog.clear()
        session = session_of(monkeypatch, "tensorrt,cuda", Sessions(**fault))
        assert provider_of(session) == CUDA
        assert "RETINA_PROVIDER=tensorrt,cuda: the model runs on CUDA" in caplog.text
    caplog.clear()
    assert provider_of(session_of(monkeypatch, "tensorrt,cuda", Sessions())) == TENSORRT
    assert not caplog.text


def test_a_provider_that_takes_no_node_does_not_run_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    built_with(monkeypatch, OPENVINO)
    idle = Sessions(idle=OPENVINO)
    with pytest.raises(ProviderError, match="could not start OpenVINO for the model and offers CPU"):
        session_of(monkeypatch, "openvino", idle)
    session = session_of(monkeypatch, "openvino,cpu", idle)
    assert session.get_providers()[0] == OPENVINO
    assert provider_of(session) == CPU
    assert nodes_by_provider(session) == {CPU: 3}


def test_a_provider_s_fault_is_told_from_the_package_s(monkeypatch: pytest.MonkeyPatch) -> None:
    built_with(monkeypatch, OPENVINO)
    with pytest.raises(
        ProviderError, match=r"\(OpenVINO: Invalid option: bogus\): for OpenVINO, check RETINA_PROVIDER_"
    ):
        session_of(monkeypatch, "openvino", Sessions(raising=OPENVINO))
    for wanted in ("openvino", "openvino,cpu", "cpu"):
        with pytest.raises(RuntimeError, match="Invalid") as raised:
            session_of(monkeypatch, wanted, Sessions(), content=b"broken")
        assert not isinstance(raised.value, ProviderError)


def test_a_broken_graph_is_the_package_s_fault(package: Path, tmp_path: Path) -> None:
    model = onnx.load(package)
    model.graph.node[0].input[0] = "nothing"
    broken = tmp_path / "model.onnx"
    broken.write_bytes(model.SerializeToString())
    with pytest.raises(PackageError, match="can't be loaded"):
        load_model(broken, version="1", execution=Execution("cpu", 1))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, [{}, {"use_tf32": "0"}, {"num_of_threads": "3"}, {}]),
        ({"tf32": True}, [{}, {"use_tf32": "1"}, {"num_of_threads": "3"}, {}]),
        (
            {"options": {"cuda": {"use_tf32": 1, "arena_extend_strategy": "kSameAsRequested"}}},
            [{}, {"use_tf32": "1", "arena_extend_strategy": "kSameAsRequested"}, {"num_of_threads": "3"}, {}],
        ),
        (
            {"options": {"tensorrt": {"trt_fp16_enable": True}, "openvino": {"load_config": {"CPU": {"A": 1}}}}},
            [
                {"trt_fp16_enable": "true"},
                {"use_tf32": "0"},
                {"num_of_threads": "3", "load_config": '{"CPU": {"A": 1}}'},
                {},
            ],
        ),
        ({"options": {"openvino": {"num_of_threads": 1}}}, [{}, {"use_tf32": "0"}, {"num_of_threads": "1"}, {}]),
    ],
)
def test_options_are_those_given_before_the_other_settings(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], expected: list[dict[str, str]]
) -> None:
    built_with(monkeypatch, TENSORRT, CUDA, OPENVINO)
    sessions = Sessions()
    session_of(monkeypatch, "tensorrt,cuda,openvino,cpu", sessions, **given)
    assert sessions.asked == [dict(zip([TENSORRT, CUDA, OPENVINO, CPU], expected, strict=True))]


def test_nodes_are_those_of_the_graph_after_basic_optimisations(package: Path, tmp_path: Path) -> None:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(tmp_path / "basic.onnx")
    onnxruntime.InferenceSession(package, options, providers=[CPU])
    count = len(onnx.load(tmp_path / "basic.onnx").graph.node)
    assert count > 20
    assert load_model(package, version="1", execution=Execution("cpu", 1)).nodes == {CPU: count}
