"""More than the service may hold is refused at once; what nobody waits for any longer never reaches the model."""

import asyncio
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import islice
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from service.app import create_app
from service.http.admission import EXPECTED, time_limit
from service.http.problems import ProblemError
from service.inference.runtime import Model
from service.settings import Settings
from tests.conftest import ImageMaker
from tests.service.process import connect, running

PREDICT = "/v1/models/colour/predict"
INFER = "/v2/models/colour/infer"


def samples(text: str) -> dict[tuple[str, str], float]:
    """Sum of each series by name and outcome or reason."""
    found: dict[tuple[str, str], float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = sample.name, sample.labels.get("outcome", sample.labels.get("reason", ""))
            found[key] = found.get(key, 0) + sample.value
    return found


@pytest.fixture
def waiting(settings: Settings) -> Settings:
    """An image waits half a second for company, so that a deadline can pass before its model runs."""
    return settings.model_copy(update={"batch_delay_ms": 500.0})


def assert_dropped(client: TestClient) -> None:
    time.sleep(0.7)  # past the moment at which the batch would have run
    counted = samples(client.get("/metrics").text)
    assert counted["retina_rejected_total", "timeout"] == 1
    assert counted["retina_requests_total", "rejected"] == 1
    assert counted["retina_batch_size_images_count", ""] == 0


def test_the_setting(waiting: Settings, make_image: ImageMaker) -> None:
    app = create_app(waiting.model_copy(update={"request_timeout_s": 0.1}))
    with TestClient(app) as client:
        answer = client.post(PREDICT, content=make_image())
        assert answer.status_code == 503
        assert answer.json()["type"].endswith("timeout")
        assert "0.1 s" in answer.json()["detail"]
        assert_dropped(client)


def test_the_header_of_the_proxy(waiting: Settings, make_image: ImageMaker) -> None:
    with TestClient(create_app(waiting)) as client:
        answer = client.post(PREDICT, content=make_image(), headers={EXPECTED: "100"})
        assert answer.status_code == 503
        assert answer.json()["type"].endswith("timeout")
        assert_dropped(client)


def test_the_protocol_s_parameter(waiting: Settings) -> None:
    with TestClient(create_app(waiting)) as client:
        card = client.get("/v1/models/colour/card").json()
        shape = [1, card["input"]["height"], card["input"]["width"], card["input"]["channels"]]
        size = shape[1] * shape[2] * shape[3]
        inputs = [{"name": "image", "shape": shape, "datatype": "UINT8", "data": [0] * size}]
        answer = client.post(INFER, json={"inputs": inputs, "parameters": {"timeout": 100_000}})
        assert answer.status_code == 503
        assert "0.1 s" in answer.json()["error"]
        assert_dropped(client)


@pytest.mark.parametrize("sent", ["-1", "soon", "1.5", "9" * 20])
def test_a_header_that_is_no_time(client: TestClient, make_image: ImageMaker, sent: str) -> None:
    answer = client.post(PREDICT, content=make_image(), headers={EXPECTED: sent})
    assert answer.status_code == 400
    assert answer.json()["type"].endswith("timeout-header")


def test_time_enough(client: TestClient, make_image: ImageMaker) -> None:
    assert client.post(PREDICT, content=make_image(), headers={EXPECTED: "20000"}).status_code == 200


@pytest.mark.parametrize(("wanted", "counts"), [(0.05, "0.05"), (None, "0.1"), (5.0, "0.1")])
def test_the_sooner_of_two_limits(settings: Settings, wanted: float | None, counts: str) -> None:
    async def wait() -> None:
        async with time_limit(settings.model_copy(update={"request_timeout_s": 0.1}), wanted):
            await asyncio.sleep(1)

    with pytest.raises(ProblemError, match=f"its timeout of {counts} s:"):
        asyncio.run(wait())


def test_zero_in_the_header_is_no_limit(waiting: Settings, make_image: ImageMaker) -> None:
    """Envoy: a timeout of 0 is none. The service's own still holds."""
    with TestClient(create_app(waiting)) as client:
        assert client.post(PREDICT, content=make_image(), headers={EXPECTED: "0"}).status_code == 200
    with TestClient(create_app(waiting.model_copy(update={"request_timeout_s": 0.1}))) as client:
        assert client.post(PREDICT, content=make_image(), headers={EXPECTED: "0"}).status_code == 503


@pytest.mark.parametrize("complete", [True, False], ids=["waiting for the answer", "in the middle of the body"])
def test_a_client_that_goes(repository: Path, make_image: ImageMaker, complete: bool) -> None:
    body = make_image()
    head = f"POST {PREDICT} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with running(repository, RETINA_BATCH_DELAY_MS="900", RETINA_LOG_FORMAT="json") as (process, address, log):
        with connect(address) as connection:
            connection.sendall(head + (body if complete else body[:100]))
            time.sleep(0.3)
        deadline = time.monotonic() + 10
        key = "retina_requests_total", "disconnected"
        while not (counted := samples(httpx.get(f"{address}/metrics").text)).get(key):
            assert time.monotonic() < deadline, counted
            time.sleep(0.05)
        time.sleep(1)
        counted = samples(httpx.get(f"{address}/metrics").text)
        assert counted[key] == 1
        assert counted["retina_batch_size_images_count", ""] == 0
        process.terminate()
        assert process.wait(20) == 0
        assert "ERROR" not in {json.loads(line)["level"] for line in log}


@pytest.mark.parametrize(
    ("limits", "code"),
    [({"max_requests": 2}, "too-many-requests"), ({"queue_size": 1}, "queue-full")],
    ids=["requests", "queue"],
)
def test_beyond_the_limit(
    settings: Settings,
    make_image: ImageMaker,
    monkeypatch: pytest.MonkeyPatch,
    limits: dict[str, int],
    code: str,
) -> None:
    gate = threading.Event()
    run = Model.run

    def held_back(model: Model, images):
        assert gate.wait(20)
        return run(model, images)

    app = create_app(settings.model_copy(update=limits | {"caller_share": 1.0}))
    with TestClient(app) as client, ThreadPoolExecutor(8) as threads:
        monkeypatch.setattr(Model, "run", held_back)
        futures = [threads.submit(client.post, PREDICT, content=make_image()) for _ in range(5)]
        refused = [future.result() for future in islice(as_completed(futures, timeout=20), 3)]
        assert sum(future.done() for future in futures) == 3, "the model is held back"
        gate.set()
        served = [future.result(timeout=20) for future in futures]
        assert sum(response.status_code == 200 for response in served) == 2
        for response in refused:
            assert response.status_code == 503
            assert response.headers["Retry-After"] == "1"
            assert response.json()["type"] == f"urn:retina-srm:problem:{code}"
        assert client.post(PREDICT, content=make_image()).status_code == 200
        metrics = client.get("/metrics").text
        assert f'retina_rejected_total{{reason="{code}"}} 3.0' in metrics
        assert 'retina_requests_total{model="colour",outcome="ok"} 3.0' in metrics
        assert "retina_in_flight_requests 0.0" in metrics
