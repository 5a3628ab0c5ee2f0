"""Every request has an id."""

from fastapi.testclient import TestClient

from tests.conftest import ImageMaker

PREDICT = "/v1/models/colour/predict"


def test_request_id_is_the_clients_or_a_new_one(client: TestClient, make_image: ImageMaker) -> None:
    png = make_image("PNG")
    response = client.post(PREDICT, content=png, headers={"X-Request-ID": "exam-17.left"})
    assert response.headers["X-Request-ID"] == response.json()["id"] == "exam-17.left"
    for bad in ("a b", "x" * 65, "<script>"):
        response = client.post(PREDICT, content=png, headers={"X-Request-ID": bad})
        assert response.json()["id"] != bad
        assert len(response.json()["id"]) == 32
