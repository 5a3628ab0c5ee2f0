"""Two workers' applications on one folder, over HTTP; and the settings of a worker."""

import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from service.app import create_app
from service.inference.runtime import Model
from service.settings import Settings
from service.workers.limits import settings_of
from service.workers.seat import Seat
from tests.conftest import ImageMaker

PREDICT = "/v1/models/colour/predict"


def test_the_rate_limit_holds_over_workers(settings: Settings, seat: Callable[[int], Seat]) -> None:
    limited = settings.model_copy(update={"rate_limit": 0.01, "rate_burst": 3})
    with TestClient(create_app(limited, seat(0))) as first, TestClient(create_app(limited, seat(1))) as second:
        answers = [client.get("/v1/models") for client in (first, second, first, second, first)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    assert [answer.headers["RateLimit"].partition(";t=")[0] for answer in answers] == [
        f'"default";r={left}' for left in (2, 1, 0, 0, 0)
    ]


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"max_requests": 2, "caller_share": 1.0}, "2 requests are in flight"),
        ({"max_requests": 4, "caller_share": 0.5}, "2 of your requests"),
    ],
    ids=["all", "one caller"],
)
def test_requests_in_flight_are_counted_over_workers(
    settings: Settings,
    seat: Callable[[int], Seat],
    make_image: ImageMaker,
    monkeypatch: pytest.MonkeyPatch,
    limits: dict[str, float],
    words: str,
) -> None:
    gate, run = threading.Event(), Model.run

    def held_back(model: Model, images):
        assert gate.wait(20)
        return run(model, images)

    limited = settings.model_copy(update=limits)
    apps = [create_app(limited, seat(index)) for index in range(2)]
    with TestClient(apps[0]) as first, TestClient(apps[1]) as second, ThreadPoolExecutor(2) as threads:
        monkeypatch.setattr(Model, "run", held_back)
        try:
            waiting = [threads.submit(client.post, PREDICT, content=make_image()) for client in (first, second)]
            end = time.monotonic() + 10
            while apps[0].state.service.requests.total() < 2:
                assert time.monotonic() < end
                time.sleep(0.01)
            assert not any(future.done() for future in waiting)
            assert all("\nretina_in_flight_requests 2.0" in client.get("/metrics").text for client in (first, second))
            refused = [client.post(PREDICT, content=make_image()) for client in (first, second)]
        finally:
            gate.set()
        for answer in refused:
            assert answer.status_code == 503
            assert words in answer.json()["detail"]
        assert [future.result(20).status_code for future in waiting] == [200, 200]
        assert second.post(PREDICT, content=make_image()).status_code == 200
        assert apps[0].state.service.requests.total() == 0


def test_the_application_has_a_worker_s_part(settings: Settings, seat: Callable[[int], Seat]) -> None:
    with TestClient(create_app(settings, seat(2))) as client:
        metrics = client.get("/metrics").text
    assert "\nretina_queue_limit 64.0" in metrics
    assert "\nretina_in_flight_requests_limit 64.0" in metrics


def test_a_worker_s_part(tmp_path: Path) -> None:
    parts = settings_of(Settings(), Seat(0, 4, tmp_path))
    assert (parts.max_upload_bytes, parts.max_decode_bytes, parts.queue_size) == (128 << 20, 256 << 20, 64)
    assert (parts.max_requests, parts.caller_share, parts.max_body_bytes) == (64, 0.75, 32 << 20)
    assert settings_of(Settings(), Seat(0, 3, tmp_path)).queue_size == 86  # 256 / 3, rounded up
    assert settings_of(Settings(), None) == settings_of(Settings(), Seat(0, 1, tmp_path)) == Settings()


@given(
    count=st.integers(1, 200),
    files=st.integers(1, 64),
    more=st.integers(0, 500),
    share=st.floats(0.01, 1),
    body=st.integers(1, 1 << 26),
    uploads=st.integers(1, 1 << 30),
)
def test_the_largest_request_fits_a_worker_s_part(
    count: int, files: int, more: int, share: float, body: int, uploads: int
) -> None:
    queue = math.ceil(files / share) + more
    whole = Settings(
        queue_size=queue, max_files=files, caller_share=share, max_body_bytes=body, max_upload_bytes=uploads
    )
    parts = settings_of(whole, Seat(0, count, Path()))
    Settings(**parts.model_dump(exclude_none=True))  # what is refused for the whole is refused for a part
    assert queue <= parts.queue_size * count
    assert uploads <= parts.max_upload_bytes * count
    assert parts.queue_size <= queue
    assert parts.max_upload_bytes <= uploads
    if math.ceil(uploads * share) >= body:
        assert math.ceil(parts.max_upload_bytes * share) >= body
