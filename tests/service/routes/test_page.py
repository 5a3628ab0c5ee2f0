"""The page and its files."""

from fastapi.testclient import TestClient


def test_page_is_served_under_a_strict_policy(client: TestClient) -> None:
    response = client.get("/")
    assert response.status_code == 200
    assert "script-src 'self'" in response.headers["Content-Security-Policy"]
    assert "unsafe" not in response.headers["Content-Security-Policy"]
    assert "<script>" not in response.text
    for name in ("app.js", "style.css"):
        assert f"/static/{name}" in response.text
        assert client.get(f"/static/{name}").status_code == 200
    assert client.get("/static/../app.py").status_code == 404
