"""``tritonclient.grpc``, unchanged, gets what REST answers."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
import tritonclient.http as rest
from tritonclient.grpc import service_pb2 as pb
from tritonclient.utils import InferenceServerException

from tests.conftest import ImageMaker
from tests.service.packages import by_hand
from tests.service.rpc.calling import NAMES, SERVICE, Site, files, image, pixels, serving, status


@pytest.fixture(scope="module")
def site(repository: Path) -> Iterator[Site]:
    with serving(repository) as site:
        yield site


@pytest.fixture(scope="module")
def client(site: Site) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(site.grpc) as client:
        yield client


def call(site: Site, message: Any) -> Any:
    with grpc.insecure_channel(site.grpc) as channel:
        answer = channel.unary_unary(f"/{SERVICE}/ModelInfer")(message.SerializeToString(), timeout=10)
    return pb.ModelInferResponse.FromString(answer)


def test_answers_are_those_of_rest(site: Site, client: triton.InferenceServerClient, make_image: ImageMaker) -> None:
    jpeg, png = make_image(), make_image("PNG", seed=1)
    sent = rest.InferInput("image_bytes", [2, 1], "BYTES")
    sent.set_data_from_numpy(np.array([[jpeg], [png]], dtype=object), binary_data=True)
    with rest.InferenceServerClient(site.http.removeprefix("http://")) as other:
        expected = other.infer("colour", [sent])
        best = other.infer("colour", [sent], outputs=[rest.InferRequestedOutput("probabilities", class_count=2)])
    found = client.infer("colour", [files(jpeg, png)], request_id="mine", model_version="2")
    assert [output.name for output in found.get_response().outputs] == list(NAMES)
    for name in NAMES:
        np.testing.assert_allclose(found.as_numpy(name), expected.as_numpy(name), atol=1e-6)
    assert (found.get_response().id, found.get_response().model_version) == ("mine", "2")
    named = client.infer(
        "colour", [files(jpeg, png)], outputs=[triton.InferRequestedOutput("probabilities", class_count=2)]
    )
    assert named.as_numpy("probabilities").tolist() == best.as_numpy("probabilities").tolist()


def test_a_version_and_pixels(repository: Path, client: triton.InferenceServerClient) -> None:
    sent = pixels()
    for version in ("1", "2"):
        found = client.infer("colour", [image(sent)], model_version=version)
        for name, expected in zip(NAMES, by_hand(repository / "colour" / version / "model.onnx", sent), strict=True):
            np.testing.assert_allclose(found.as_numpy(name), expected, atol=1e-4)
    only = client.infer("colour", [image(sent)], outputs=[triton.InferRequestedOutput("class_activation")])
    assert [output.name for output in only.get_response().outputs] == ["class_activation"]


def test_typed_contents(site: Site, client: triton.InferenceServerClient, make_image: ImageMaker) -> None:
    sent, file = pixels(1), make_image()
    for expected, name, datatype, shape, field, values in (
        (image(sent), "image", "UINT8", sent.shape, "uint_contents", sent.reshape(-1).tolist()),
        (files(file), "image_bytes", "BYTES", (1,), "bytes_contents", [file]),
    ):
        message = pb.ModelInferRequest(model_name="colour")
        tensor = message.inputs.add(name=name, datatype=datatype, shape=shape)
        getattr(tensor.contents, field).extend(values)
        found = np.frombuffer(call(site, message).raw_output_contents[0], "<f4")
        np.testing.assert_allclose(found, client.infer("colour", [expected]).as_numpy("probabilities")[0], atol=1e-6)


def test_many_at_once(client: triton.InferenceServerClient) -> None:
    sent = pixels(40)
    alone = [client.infer("colour", [image(sent[i : i + 1])]).as_numpy("probabilities") for i in range(40)]
    with ThreadPoolExecutor(16) as threads:
        together = list(threads.map(lambda i: client.infer("colour", [image(sent[i : i + 1])]), range(40)))
    np.testing.assert_allclose([found.as_numpy("probabilities") for found in together], alone, atol=1e-5)


def wrong(field: str) -> Any:
    message = pb.ModelInferRequest(model_name="colour", raw_input_contents=[bytes(3072)])
    tensor = message.inputs.add(name="image", datatype="UINT8", shape=[1, 32, 32, 3])
    match field:
        case "name":
            tensor.name = "input"
        case "datatype":
            tensor.datatype = "FP32"
        case "shape":
            tensor.shape[1] = 16
        case "axis":
            tensor.shape[0] = -1
        case "size":
            message.raw_input_contents[0] = bytes(3071)
        case "more":
            message.raw_input_contents.append(b"")
        case "none":
            del message.raw_input_contents[:]
        case "both":
            tensor.contents.uint_contents.extend([0] * 3072)
        case "field":
            del message.raw_input_contents[:]
            tensor.contents.int_contents.extend([0] * 3072)
        case "value":
            del message.raw_input_contents[:]
            tensor.contents.uint_contents.extend([256] * 3072)
        case "output":
            message.outputs.add(name="logits")
        case "timeout":
            message.parameters["timeout"].string_param = "soon"
        case "file":
            tensor.name, tensor.datatype = "image_bytes", "BYTES"
            tensor.shape[:] = [1]
            message.raw_input_contents[0] = b"\x03\0\0\0abc"
    return message


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("name", "there is no input 'input'"),
        ("datatype", "input image: its datatype is 'FP32'"),
        ("shape", "input image: its shape is [1, 16, 32, 3]"),
        ("axis", "inputs.0.shape.0 must be at least 0"),
        ("size", "input image: the size of raw_input_contents is 3071"),
        ("more", "raw_input_contents: 1 of them belong to no input"),
        ("none", "input image: it has no values"),
        ("both", "input image: it has both contents and raw_input_contents"),
        ("field", "input image: contents has int_contents: UINT8 takes uint_contents alone"),
        ("value", "input image: contents holds 256"),
        ("output", "there is no output 'logits'"),
        ("timeout", "timeout is 'soon'"),
        ("file", "input image_bytes: element 0"),
    ],
)
def test_an_invalid_message_is_told_its_field(site: Site, field: str, words: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        call(site, wrong(field))
    assert status(caught.value) == "INVALID_ARGUMENT"
    assert words in caught.value.details()
    assert dict(caught.value.trailing_metadata())["x-request-id"]


def test_an_unknown_model(client: triton.InferenceServerClient) -> None:
    for name, version in (("nothing", ""), ("colour", "7"), ("x" * 100_000, "")):
        with pytest.raises(InferenceServerException) as caught:
            client.infer(name, [image(pixels(1))], model_version=version)
        assert status(caught.value) == "NOT_FOUND"


def test_what_is_not_a_message(site: Site) -> None:
    with grpc.insecure_channel(site.grpc) as channel:
        for content in (b"\xff\xff", b"\x0a\xff\xff\xff\xff\x0f"):
            with pytest.raises(grpc.RpcError, match="not a ModelInferRequest") as caught:
                channel.unary_unary(f"/{SERVICE}/ModelInfer")(content, timeout=10)
            assert status(caught.value) == "INVALID_ARGUMENT"
        with pytest.raises(grpc.RpcError, match="without a message") as caught:
            channel.stream_unary(f"/{SERVICE}/ModelInfer")(iter(()), timeout=10)
        assert status(caught.value) == "INVALID_ARGUMENT"
