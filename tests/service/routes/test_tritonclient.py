"""NVIDIA's ``tritonclient``, unchanged, against the service as a process."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
from google.protobuf import json_format
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException

from models.card import InputSpec
from models.preprocessing import preprocess
from tests.conftest import LABELS, ImageMaker
from tests.service.packages import by_hand
from tests.service.process import running

KEY = {"Authorization": "Bearer the-key"}
NAMES = ("probabilities", "recalibration_weights", "class_activation")


@pytest.fixture(scope="module")
def client(repository: Path) -> Iterator[triton.InferenceServerClient]:
    with (
        running(repository, RETINA_ADMIN_KEY="the-key", RETINA_THREADS="1") as (_, address, _),
        triton.InferenceServerClient(address.removeprefix("http://"), concurrency=8) as client,
    ):
        yield client


@pytest.fixture
def pixels() -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)


def image(pixels: NDArray[np.uint8], *, binary: bool = True) -> Any:
    tensor = triton.InferInput("image", list(pixels.shape), "UINT8")
    return tensor.set_data_from_numpy(pixels, binary_data=binary)


def check(result: Any, expected: list[NDArray[np.float32]]) -> None:
    for name, values in zip(NAMES, expected, strict=True):
        np.testing.assert_allclose(result.as_numpy(name), values, atol=1e-4)


def test_health_and_metadata(client: triton.InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("colour")
    assert client.is_model_ready("colour", "1")
    assert not client.is_model_ready("colour", "7")
    assert not client.is_model_ready("nothing")
    server = client.get_server_metadata()
    assert {"binary_tensor_data", "classification", "model_repository", "statistics"} <= set(server["extensions"])
    model = client.get_model_metadata("colour")
    assert (model["name"], model["versions"], model["platform"]) == ("colour", ["1", "2"], "onnxruntime_onnx")
    assert model["inputs"] == [
        {"name": "image", "datatype": "UINT8", "shape": [-1, 32, 32, 3]},
        {"name": "image_bytes", "datatype": "BYTES", "shape": [-1, 1]},
    ]
    assert [(output["name"], output["datatype"]) for output in model["outputs"]] == [(n, "FP32") for n in NAMES]
    assert client.get_model_metadata("colour", "1")["versions"] == ["1"]


def model_config_pb2() -> ModuleType:
    """Triton's schema of configurations; the client's package has it beside its gRPC part, which needs grpcio."""
    path = Path(triton.__file__).parents[1] / "grpc" / "model_config_pb2.py"
    spec = importlib.util.spec_from_file_location("model_config_pb2", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_configuration_follows_triton_s_schema(client: triton.InferenceServerClient) -> None:
    pb = model_config_pb2()
    config = json_format.ParseDict(client.get_model_config("colour"), pb.ModelConfig())
    assert (config.name, config.backend, config.max_batch_size) == ("colour", "onnxruntime", 16)
    assert [(i.name, i.data_type, list(i.dims)) for i in config.input] == [
        ("image", pb.TYPE_UINT8, [32, 32, 3]),
        ("image_bytes", pb.TYPE_STRING, [1]),
    ]
    assert config.output[0].name == "probabilities"
    assert list(config.output[0].dims) == [len(LABELS)]


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
@pytest.mark.parametrize("compression", [None, "gzip", "deflate"])
def test_infer(
    client: triton.InferenceServerClient,
    repository: Path,
    pixels: NDArray[np.uint8],
    binary: bool,
    compression: str | None,
) -> None:
    outputs = None if binary else [triton.InferRequestedOutput(name, binary_data=False) for name in NAMES]
    result = client.infer(
        "colour",
        [image(pixels[:2], binary=binary)],
        outputs=outputs,
        request_id="exam 17",
        parameters={"site": "left"},
        request_compression_algorithm=compression,
        response_compression_algorithm=compression,
    )
    assert result.get_response()["id"] == "exam 17"
    assert result.get_response()["model_version"] == "2"
    check(result, by_hand(repository / "colour" / "2" / "model.onnx", pixels[:2]))


def test_infer_files(client: triton.InferenceServerClient, repository: Path, make_image: ImageMaker) -> None:
    files = [make_image(seed=seed) for seed in range(3)]
    tensor = triton.InferInput("image_bytes", [3, 1], "BYTES")
    tensor.set_data_from_numpy(np.array(files, dtype=np.object_).reshape(3, 1))
    result = client.infer("grey", [tensor], model_version="1")
    spec = InputSpec(height=32, width=32, channels=1)
    expected = np.stack([preprocess(file, spec).pixels for file in files])
    check(result, by_hand(repository / "grey" / "1" / "model.onnx", expected))


def test_classification(client: triton.InferenceServerClient, pixels: NDArray[np.uint8]) -> None:
    for binary in (True, False):
        asked = triton.InferRequestedOutput("probabilities", binary_data=binary, class_count=2)
        best = client.infer("colour", [image(pixels[:2])], outputs=[asked]).as_numpy("probabilities")
        values = client.infer("colour", [image(pixels[:2])]).as_numpy("probabilities")
        assert best.shape == (2, 2)
        for row, lines in zip(values, best, strict=True):
            text = lines[0].decode() if binary else lines[0]
            assert text.split(":")[1:] == [str(row.argmax()), LABELS[row.argmax()]]


def test_many_at_once_are_not_mixed_up(
    client: triton.InferenceServerClient, repository: Path, pixels: NDArray[np.uint8]
) -> None:
    expected = by_hand(repository / "colour" / "2" / "model.onnx", pixels)
    pending = [(index % 12, client.async_infer("colour", [image(pixels[index % 12][None])])) for index in range(48)]
    for index, request in pending:
        check(request.get_result(timeout=60), [values[index : index + 1] for values in expected])


def test_statistics(client: triton.InferenceServerClient, pixels: NDArray[np.uint8]) -> None:
    before = client.get_inference_statistics("colour", "1")["model_stats"][0]["inference_count"]
    client.infer("colour", [image(pixels[:3])], model_version="1")
    after = client.get_inference_statistics("colour", "1")["model_stats"][0]
    assert after["inference_count"] == before + 3
    assert len(client.get_inference_statistics()["model_stats"]) == 3


def test_index_unload_and_load(client: triton.InferenceServerClient, pixels: NDArray[np.uint8]) -> None:
    def states() -> dict[str, str]:
        index = client.get_model_repository_index(headers=KEY)
        return {f"{entry['name']}/{entry['version']}": entry["state"] for entry in index}

    assert states() == {"colour/1": "READY", "colour/2": "READY", "grey/1": "READY"}
    client.unload_model("colour", headers=KEY)
    assert states() == {"colour/1": "UNAVAILABLE", "colour/2": "UNAVAILABLE", "grey/1": "READY"}
    assert not client.is_model_ready("colour")
    with pytest.raises(InferenceServerException, match="there are: grey"):
        client.infer("colour", [image(pixels[:1])])
    client.load_model("colour", headers=KEY)
    assert states() == {"colour/1": "READY", "colour/2": "READY", "grey/1": "READY"}
    assert client.infer("colour", [image(pixels[:1])]).get_response()["model_version"] == "2"
    with pytest.raises(InferenceServerException, match="config"):
        client.load_model("colour", headers=KEY, config="{}")


def test_errors_name_the_field(client: triton.InferenceServerClient, pixels: NDArray[np.uint8]) -> None:
    wrong_type = triton.InferInput("image", [1, 32, 32, 3], "FP32").set_data_from_numpy(pixels[:1].astype(np.float32))
    wrong_name = triton.InferInput("input", [1, 32, 32, 3], "UINT8").set_data_from_numpy(pixels[:1])
    for tensor, words in (
        (wrong_type, "input image: its datatype is 'FP32'"),
        (wrong_name, "there is no input 'input'"),
        (image(pixels[:1, :16]), "its shape is"),
        (image(np.repeat(pixels, 2, axis=0)), "holds 24 images; a request may hold 1 to 16"),
    ):
        with pytest.raises(InferenceServerException, match=words) as caught:
            client.infer("colour", [tensor])
        assert caught.value.status() == "400"
    with pytest.raises(InferenceServerException, match="no output 'logits'"):
        client.infer("colour", [image(pixels[:1])], outputs=[triton.InferRequestedOutput("logits")])
    with pytest.raises(InferenceServerException) as unknown:
        client.infer("nothing", [image(pixels[:1])])
    assert unknown.value.status() == "404"
    with pytest.raises(InferenceServerException) as no_key:
        client.get_model_repository_index()
    assert no_key.value.status() == "401"
