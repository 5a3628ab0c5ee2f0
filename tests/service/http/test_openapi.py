"""The description of the errors says what is answered: media type, schema, and only errors that exist."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.settings import Settings
from tests.conftest import ImageMaker

PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}}
PROTOCOL_ERROR = {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorDocument"}}}
NOT_READY = ("/v2/health/ready", "/v2/models/{model}/ready", "/v2/models/{model}/versions/{version}/ready")


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [(path, method, told) for path, item in document["paths"].items() for method, told in item.items()]


def test_every_error_has_its_media_type_and_schema(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    checked = 0
    for path, _, told in operations(document):
        for status, response in told["responses"].items():
            if int(status) >= 400 and not (path in NOT_READY and status == "503"):
                expected = PROTOCOL_ERROR if f"{path}/".startswith("/v2/") else PROBLEM
                assert response["content"] == expected, (path, status)
                checked += 1
    assert checked > 100
    assert "ProblemDocument" in document["components"]["schemas"]


def test_every_reference_leads_to_a_schema_and_every_schema_is_used(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    found: set[str] = set()

    def walk(part: object) -> None:
        if isinstance(part, dict):
            found.update(value for key, value in part.items() if key == "$ref" and isinstance(value, str))
            for value in part.values():
                walk(value)
        elif isinstance(part, list):
            for value in part:
                walk(value)

    walk(document)
    assert {f"#/components/schemas/{name}" for name in document["components"]["schemas"]} == found
    assert len({told["operationId"] for _, _, told in operations(document)}) == len(operations(document))


def test_every_operation_has_its_reader_and_a_summary_that_says_something(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    told = {tag["name"]: tag["description"] for tag in document["tags"]}
    assert list(told) == ["Send images", "Run the service", "Records and audit", "Open Inference Protocol"]
    assert {tag for _, _, operation in operations(document) for tag in operation["tags"]} == set(told)
    for path, _, operation in operations(document):
        [group] = operation["tags"]
        assert (group == "Open Inference Protocol") == (
            f"{path}/".startswith("/v2/") and not path.startswith(("/v2/repository/", "/v2/health/"))
        )
        assert len(operation["summary"].split()) >= 2, path
        assert operation["description"].startswith(operation["summary"]), path
    summaries = {path: told["summary"] for path, _, told in operations(document)}
    assert summaries["/v1/models/{model}/predict"] == "Classify images with the default version of a model"
    assert summaries["/metrics"] != "Metrics"


CALLS: list[tuple[str, str, int, dict[str, Any]]] = [
    ("/v1/models/{model}/predict", "colour", 400, {"content": b""}),
    ("/v1/models/{model}/predict", "color", 404, {"content": b"x"}),
    ("/v1/models/{model}/predict", "colour", 413, {"content": bytes(6000)}),
    ("/v1/models/{model}/predict", "colour", 415, {"content": b"x"}),
    ("/v1/models/{model}/predict", "colour", 422, {"content": b"x", "params": {"frame": "0"}}),
    ("/v1/models/{model}/preview", "colour", 415, {"content": b"x", "headers": {"Content-Encoding": "br"}}),
    ("/v1/models/{model}/preview", "colour", 422, {"content": b"x", "params": {"frame": "0"}}),
    ("/v1/predictions/{id}/feedback", "nope", 422, {"content": b"x"}),
    ("/v2/models/{model}/infer", "colour", 400, {"content": b"{}"}),
    ("/v2/models/{model}/infer", "color", 404, {"content": b"{}"}),
    ("/v2/models/{model}/infer", "colour", 413, {"content": bytes(6000)}),
    ("/v2/repository/models/{model}/load", "colour", 403, {"content": b""}),
]


@pytest.mark.parametrize(("path", "value", "status", "options"), CALLS)
def test_what_is_answered_is_described(
    settings: Settings, path: str, value: str, status: int, options: dict[str, Any]
) -> None:
    app = create_app(settings.model_copy(update={"max_body_bytes": 5000}))
    with TestClient(app) as client:
        response: httpx.Response = client.post(path.replace("{model}", value).replace("{id}", value), **options)
        assert response.status_code == status, response.text
        described = client.get("/openapi.json").json()["paths"][path]["post"]["responses"]
    assert list(described[str(status)]["content"]) == [response.headers["Content-Type"]]


def test_too_many_requests_are_described(settings: Settings, make_image: ImageMaker, tmp_path: Path) -> None:
    app = create_app(settings.model_copy(update={"rate_limit": 0.001, "rate_burst": 1}))
    with TestClient(app) as client:
        for path in ("/v1/models", "/v2"):
            responses = [client.get(path) for _ in range(2)]
            described = app.openapi()["paths"][path]["get"]["responses"]
            assert responses[1].status_code == 429
            assert list(described["429"]["content"]) == [responses[1].headers["Content-Type"]]
