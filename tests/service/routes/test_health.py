"""Liveness and readiness."""

from fastapi.testclient import TestClient


def test_health(client: TestClient) -> None:
    assert client.get("/v2/health/live").json() == {"live": True}
    response = client.get("/v2/health/ready")
    assert (response.status_code, response.json()) == (200, {"ready": True})


def test_not_ready_is_503(client: TestClient) -> None:
    client.app.state.service.ready = False  # type: ignore[attr-defined]
    response = client.get("/v2/health/ready")
    assert (response.status_code, response.json()) == (503, {"ready": False})
    assert client.get("/v2/health/live").status_code == 200
