"""More than the service may hold is refused at once with 503, and it recovers."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.inference.runtime import Model
from service.settings import Settings
from tests.conftest import ImageMaker

PREDICT = "/v1/models/colour/predict"


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

    app = create_app(settings.model_copy(update=limits))
    with TestClient(app) as client, ThreadPoolExecutor(8) as threads:
        monkeypatch.setattr(Model, "run", held_back)
        futures = [threads.submit(client.post, PREDICT, content=make_image()) for _ in range(5)]
        refused = [future.result(timeout=20) for future in futures if not_waiting(future)]
        gate.set()
        served = [future.result(timeout=20) for future in futures]
        assert sum(response.status_code == 200 for response in served) == 2
        assert len(refused) == 3
        for response in refused:
            assert response.status_code == 503
            assert response.headers["Retry-After"] == "1"
            assert response.json()["type"] == f"urn:retina-srm:problem:{code}"
        assert client.post(PREDICT, content=make_image()).status_code == 200
        metrics = client.get("/metrics").text
        assert f'retina_rejected_total{{reason="{code}"}} 3.0' in metrics
        assert 'retina_requests_total{model="colour",outcome="ok"} 3.0' in metrics
        assert "retina_in_flight_requests 0.0" in metrics


def not_waiting(future) -> bool:
    """Whether an answer came although the model is held back: so it was a refusal."""
    try:
        future.result(timeout=2)
    except TimeoutError:
        return False
    return True
