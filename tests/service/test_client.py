"""The typed client against the application, and against answers that a real one gives only under load."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.client import AsyncClient, Client, OverloadedError, ServiceError
from tests.conftest import LABELS, ImageMaker
from tests.service.process import running


@pytest.fixture(scope="module")
def address(repository: Path) -> Iterator[str]:
    with running(repository, RETINA_THREADS="1") as (_, address, _):
        yield address


@pytest.fixture
def client(address: str) -> Iterator[Client]:
    with Client(address) as client:
        yield client


def test_predict_bytes_and_files(client: Client, make_image: ImageMaker, tmp_path: Path) -> None:
    image, path = make_image(), tmp_path / "left.jpg"
    path.write_bytes(image)
    one = client.predict("colour", image, weights="summary", activation_map=True)
    assert one.model.version == "2"
    assert [entry.label for entry in one.predictions[0].probabilities] == LABELS
    assert one.predictions[0].class_activation is not None
    both = client.predict("colour", [path, image], version="2", weights="none")
    assert [prediction.file for prediction in both.predictions] == ["left.jpg", "image-1"]
    for prediction in both.predictions:
        assert prediction.probability == pytest.approx(one.predictions[0].probability, abs=1e-5)
        assert prediction.recalibration_weights is None
    assert client.predict("colour", path).predictions[0].file == "left.jpg"
    assert client.predict("colour", image, version="1").model.version == "1"


def test_models_card_and_readiness(client: Client) -> None:
    assert [(model.name, model.versions) for model in client.models()] == [("colour", ["1", "2"]), ("grey", ["1"])]
    assert client.card("grey").labels == LABELS
    assert client.ready()


def test_an_error_carries_the_problem_document(client: Client, make_image: ImageMaker) -> None:
    with pytest.raises(ServiceError, match="404: There is no model 'color'; there are: colour, grey") as caught:
        client.predict("color", make_image())
    assert caught.value.problem is not None
    assert caught.value.problem.type == "urn:retina-srm:problem:unknown-model"
    with pytest.raises(ServiceError, match="known format") as caught:
        client.predict("colour", [make_image(), b"no image"])
    assert caught.value.status == 415
    assert caught.value.problem is not None
    assert caught.value.problem.file == "image-1"
    with pytest.raises(ServiceError, match="404"):
        client.predict("../../v2/health", make_image())


def test_the_asynchronous_client_does_the_same(address: str, make_image: ImageMaker, tmp_path: Path) -> None:
    path = tmp_path / "left.jpg"
    path.write_bytes(make_image())

    async def body() -> None:
        async with AsyncClient(address) as client:
            answers = await asyncio.gather(*(client.predict("colour", image) for image in (make_image(), path)))
            assert [answer.predictions[0].file for answer in answers] == [None, "left.jpg"]
            assert (await client.models())[0].name == "colour"
            assert (await client.card("grey")).name == "grey"
            assert await client.ready()
            with pytest.raises(ServiceError, match="there are: colour, grey"):
                await client.predict("color", path)

    asyncio.run(body())


def scripted(*answers: httpx.Response) -> tuple[httpx.MockTransport, list[httpx.Request]]:
    asked: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return answers[min(len(asked), len(answers)) - 1]

    return httpx.MockTransport(handle), asked


def busy(after: str | None = "2") -> httpx.Response:
    problem = {"type": "urn:x", "title": "x", "status": 503, "detail": "64 requests are in hand", "id": "1"}
    return httpx.Response(503, json=problem, headers={"Retry-After": after} if after else {})


def limited() -> httpx.Response:
    return httpx.Response(429, headers={"Retry-After": "2"})


def models() -> httpx.Response:
    return httpx.Response(200, json={"models": []})


@pytest.mark.parametrize(
    ("after", "waits"), [("2", [2.0, 2.0]), (None, [1.0, 1.0]), ("soon", [1.0, 1.0]), ("86400", [10.0, 10.0])]
)
def test_overload_is_waited_out(monkeypatch: pytest.MonkeyPatch, after: str | None, waits: list[float]) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    transport, asked = scripted(busy(after), busy(after), models())
    with Client("http://service", transport=transport) as client:
        assert client.models() == []
    assert (len(asked), slept) == (3, waits)


def test_a_key_goes_with_every_request_and_its_limit_is_waited_out(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    transport, asked = scripted(limited(), models())
    with Client("http://service", transport=transport, key="rsk_1") as client:
        assert client.models() == []
        client.ready()
    assert [request.headers["Authorization"] for request in asked] == ["Bearer rsk_1"] * 3
    assert slept == [2.0]

    async def body() -> None:
        async with AsyncClient("http://service", transport=scripted(models())[0], key="rsk_2") as client:
            client.http.event_hooks["request"] = [seen]
            await client.models()

    async def seen(request: httpx.Request) -> None:
        assert request.headers["Authorization"] == "Bearer rsk_2"

    asyncio.run(body())


def test_overload_that_lasts_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    transport, asked = scripted(busy())
    refused = pytest.raises(OverloadedError, match="503: 64 requests are in hand")
    with Client("http://service", transport=transport, retries=2) as client, refused:
        client.predict("oct", b"image")
    assert len(asked) == 3
    assert {request.content for request in asked} == {b"image"}
    with Client("http://service", transport=transport, retries=0) as client, pytest.raises(OverloadedError):
        client.models()
    assert len(slept) == 2


def test_the_asynchronous_client_waits_too(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    async def body() -> None:
        transport, asked = scripted(busy(), models())
        async with AsyncClient("http://service", transport=transport) as client:
            assert await client.models() == []
        assert len(asked) == 2

    monkeypatch.setattr(asyncio, "sleep", sleep)
    asyncio.run(body())
    assert slept == [2.0]


def test_an_answer_that_is_no_problem_document() -> None:
    transport, _ = scripted(httpx.Response(502, text="<h1>Bad gateway</h1>"))
    with (
        Client("http://service", transport=transport) as client,
        pytest.raises(ServiceError, match="gateway") as caught,
    ):
        client.models()
    assert caught.value.problem is None


def test_a_service_that_does_not_answer_in_time_or_at_all() -> None:
    def slow(request: httpx.Request) -> httpx.Response:
        assert request.extensions["timeout"]["read"] == 0.5
        raise httpx.ReadTimeout("slow", request=request)

    transport = httpx.MockTransport(slow)
    with Client("http://service", timeout_s=0.5, transport=transport) as client, pytest.raises(httpx.TransportError):
        client.models()


def test_the_client_needs_no_onnx_runtime() -> None:
    code = "import sys, service.client; sys.exit('onnxruntime' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
