"""A preview shows the pixels that the model's preprocessing reads."""

import io
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from fastapi.testclient import TestClient
from httpx import Response
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

from models.card import Card
from models.preprocessing import preprocess
from service.app import create_app
from service.http.admission import EXPECTED
from service.settings import Settings
from tests.conftest import ImageMaker
from tests.models.preprocessing.dicom_files import TOMOGRAPHY, dicom
from tests.models.preprocessing.image_files import encode, noise, smooth, tiff
from tests.service.problems import problem

SIDE = 32  # of the tiny models' input
DEEP = (np.arange(SIDE * SIDE).reshape(SIDE, SIDE) * 60).astype(np.uint16)  # 16 bits, which no browser draws
UPRIGHT = Image.Exif()
UPRIGHT[0x0112] = 6  # stored lying on its side


def address(model: str) -> str:
    return f"/v1/models/{model}/preview"


def drawn(response: Response) -> Image.Image:
    assert response.status_code == 200, response.text
    assert response.headers["Content-Type"] == "image/png"
    assert response.headers["Cache-Control"] == "no-store"
    return Image.open(io.BytesIO(response.content), formats=["PNG"])


@pytest.mark.parametrize(("model", "mode"), [("colour", "RGB"), ("grey", "L")])
@pytest.mark.parametrize(
    "data",
    [
        encode(noise(SIDE, SIDE, 3), "PNG"),
        encode(smooth(SIDE, SIDE), "JPEG"),
        encode(Image.fromarray(smooth(SIDE, SIDE)), "JPEG", exif=UPRIGHT),
        encode(noise(SIDE, SIDE, 4), "PNG"),
        tiff(DEEP, 16),
        dicom(noise(SIDE, SIDE)),
    ],
    ids=["png", "jpeg", "turned", "transparent", "16 bits", "dicom"],
)
def test_has_the_pixels_that_the_model_gets(client: TestClient, model: str, mode: str, data: bytes) -> None:
    card = Card.model_validate(client.get(f"/v1/models/{model}/card").json())
    assert (card.input.height, card.input.width) == (SIDE, SIDE)
    picture = drawn(client.post(address(model), content=data))
    assert picture.mode == mode
    np.testing.assert_array_equal(
        np.asarray(picture).reshape(SIDE, SIDE, card.input.channels), preprocess(data, card.input).pixels
    )


def test_is_whole_and_of_the_file_s_size(client: TestClient) -> None:
    pixels = noise(40, 90, 3)
    np.testing.assert_array_equal(
        np.asarray(drawn(client.post(address("colour"), content=encode(pixels, "BMP")))), pixels
    )


def test_a_large_image_is_drawn_smaller(client: TestClient) -> None:
    assert drawn(client.post(address("colour"), content=encode(smooth(300, 3000), "PNG"))).size == (1024, 102)
    assert drawn(client.post(address("colour"), content=encode(smooth(1024, 512), "PNG"))).size == (512, 1024)


def test_a_frame_can_be_chosen(client: TestClient) -> None:
    volume = noise(5, SIDE, SIDE)
    data = dicom(volume, frames=5, SOPClassUID=TOMOGRAPHY)
    for query, frame in (("", 3), ("?frame=1", 1), ("?frame=5", 5)):
        picture = drawn(client.post(address("grey") + query, content=data))
        np.testing.assert_array_equal(np.asarray(picture), volume[frame - 1])
    problem(client.post(f"{address('grey')}?frame=6", content=data), 422, "frame")


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"", 400, "empty"),
        (b"this is no image", 415, "unrecognised"),
        (encode(noise(SIDE, SIDE), "PNG")[:-200], 422, "damaged"),
        (encode(Image.new("F", (40, 40), 0.5), "TIFF"), 415, "unsupported"),
    ],
    ids=["empty", "text", "truncated", "float"],
)
def test_a_file_that_can_t_be_drawn(client: TestClient, content: bytes, status: int, code: str) -> None:
    problem(client.post(address("colour"), content=content), status, code)
    named = problem(client.post(address("colour"), files={"file": ("eye.png", content)}), status, code)
    assert named.file == "eye.png"


def test_too_much(settings: Settings) -> None:
    limited = settings.model_copy(update={"max_pixels": 1000, "max_body_bytes": 5000})
    with TestClient(create_app(limited)) as client:
        problem(client.post(address("colour"), content=encode(noise(SIDE, SIDE), "PNG")), 413, "too-large")
        problem(client.post(address("colour"), content=b"x" * 5001), 413, "body-too-large")


def test_what_can_t_be_asked_for(client: TestClient, make_image: ImageMaker) -> None:
    files = [("file", (name, make_image())) for name in ("a.jpg", "b.jpg")]
    problem(client.post(address("colour"), files=files), 400, "too-many-files")
    problem(client.post(address("nothing"), content=make_image()), 404, "unknown-model")
    problem(
        client.post(address("colour"), content=make_image(), headers={"Content-Type": "text/plain"}),
        415,
        "content-type",
    )
    for query in ("frame=0", "frames=1"):
        problem(client.post(f"{address('colour')}?{query}", content=make_image()), 422, "invalid-parameter")


def counted(client: TestClient, outcome: str) -> tuple[float, float]:
    """Previews with an outcome, and how many were timed."""
    found = {"retina_requests_total": 0.0, "retina_request_duration_seconds_count": 0.0}
    for family in text_string_to_metric_families(client.get("/metrics").text):
        for sample in family.samples:
            if sample.name in found and sample.labels.get("outcome", outcome) == outcome:
                found[sample.name] += sample.value
    return found["retina_requests_total"], found["retina_request_duration_seconds_count"]


def test_is_counted_as_a_prediction_is(client: TestClient, make_image: ImageMaker) -> None:
    assert client.post(address("colour"), content=make_image()).status_code == 200
    assert counted(client, "ok") == (1, 1)
    assert client.post(address("colour"), content=b"x").status_code == 415
    assert counted(client, "client_error") == (1, 2)
    statistics = client.get("/v2/models/colour/stats").json()["model_stats"]
    assert all(entry["inference_stats"]["success"]["count"] == 0 for entry in statistics)  # of predictions alone


@pytest.mark.parametrize("header", [False, True], ids=["setting", "header"])
def test_has_a_deadline(
    settings: Settings, make_image: ImageMaker, monkeypatch: pytest.MonkeyPatch, header: bool
) -> None:
    gate = threading.Event()
    monkeypatch.setattr("service.routes.preview.to_png", lambda *_: gate.wait(20))
    app = create_app(settings.model_copy(update={} if header else {"request_timeout_s": 0.1}))
    with TestClient(app) as client:
        headers = {EXPECTED: "100"} if header else {}
        told = problem(client.post(address("colour"), content=make_image(), headers=headers), 503, "timeout")
        gate.set()
        assert "0.1 s" in told.detail
        assert not app.state.service.requests.total()
        assert counted(client, "rejected") == (1, 1)
        assert 'retina_rejected_total{reason="timeout"} 1.0' in client.get("/metrics").text


def test_is_in_flight_and_refused_above_the_limit(
    settings: Settings, make_image: ImageMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, started = threading.Event(), threading.Event()

    def held_back(*_: object) -> bytes:
        started.set()
        assert gate.wait(20)
        return b""

    monkeypatch.setattr("service.routes.preview.to_png", held_back)
    app = create_app(settings.model_copy(update={"max_requests": 1}))
    with TestClient(app) as client, ThreadPoolExecutor(1) as threads:
        first = threads.submit(client.post, address("colour"), content=make_image())
        assert started.wait(20)
        assert "retina_in_flight_requests 1.0" in client.get("/metrics").text
        problem(client.post(address("colour"), content=make_image()), 503, "too-many-requests")
        assert 'retina_rejected_total{reason="too-many-requests"} 1.0' in client.get("/metrics").text
        gate.set()
        assert first.result(20).status_code == 200
