"""Every route that is not on the list of open ones asks for its scope, before it reads a body."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from service.app import create_app
from service.security.scopes import SCOPES
from service.settings import Settings
from tests.conftest import ImageMaker
from tests.service.security.credentials import MODEL, add_key, bearer

OPEN = {"/", "/v2/health/live", "/v2/health/ready"}
PREDICT = f"/v1/models/{MODEL}/predict?weights=none"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    return {"path": path, **{scope: add_key(path, f"{scope}-only", scope) for scope in SCOPES}}


def application(models: Path, **chosen: Any) -> FastAPI:
    return create_app(Settings(model_repository=models, provider="cpu", threads=1, **chosen))


@pytest.fixture(scope="module")
def client(models: Path, keys: dict[str, Any]) -> Iterator[TestClient]:
    with TestClient(application(models, keys_file=keys["path"], admin_key="bootstrap")) as client:
        yield client


def operations(client: TestClient) -> list[tuple[str, str, dict[str, Any]]]:
    paths = client.get("/openapi.json").json()["paths"]
    return [(path, method, entry) for path, methods in paths.items() for method, entry in methods.items()]


def scope_of(path: str) -> str | None:
    if path in OPEN:
        return None
    return "metrics" if path == "/metrics" else "admin" if path.startswith("/v2/repository/") else "predict"


def test_every_route_asks_for_its_scope_and_no_other(client: TestClient, keys: dict[str, Any]) -> None:
    found = operations(client)
    assert len(found) > 15
    for template, method, entry in found:
        path = template.replace("{model}", "nothing").replace("{version}", "1").replace("{id}", "nothing")
        wanted = scope_of(template)
        answer = client.request(method, path)
        if wanted is None:
            assert answer.status_code == 200, path
            assert "security" not in entry
            continue
        assert answer.status_code == 401, path
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="retina-srm"'
        assert entry["security"] == [{"bearer": []}]
        assert {"401", "403", "429"} <= entry["responses"].keys()
        for scope in SCOPES:
            if scope != wanted and not (scope == "admin" and template.startswith("/v1/predictions")):
                refused = client.request(method, path, headers=bearer(keys[scope]))
                assert refused.status_code == 403, (path, scope)
                assert f'scope="{wanted}"' in refused.headers["WWW-Authenticate"]
        assert client.request(method, path, headers=bearer(keys[wanted])).status_code not in (401, 403), path


def test_routes_outside_the_description_are_pages_alone(client: TestClient) -> None:
    app: Any = client.app
    described = {path for path, _, _ in operations(client)}
    hidden = {path for route in app.routes if (path := getattr(route, "path", None)) and path not in described}
    assert hidden <= {"/", "/static", "/docs", "/docs/oauth2-redirect", "/docs-static", "/openapi.json"}


def test_documentation_declares_the_scheme_and_no_software_version(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    assert document["info"]["version"] == "1"
    for path in ("/", "/docs", "/v2/health/ready", "/v2", "/nothing"):
        fields = client.get(path).headers
        assert not {"server", "x-powered-by"} & fields.keys()


@pytest.mark.parametrize(
    "value",
    ["Bearer", "Bearer ", "Bearer x", "Basic eDp5", "rsk_1", "Bearer rsk_000000000000_" + "A" * 43, "Bearer bootstrab"],
)
def test_wrong_credentials(client: TestClient, value: str) -> None:
    answer = client.post(PREDICT, headers={"Authorization": value}, content=b"x")
    assert answer.status_code == 401
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:retina-srm:problem:unauthenticated"
    other = client.get("/v2", headers={"Authorization": value})
    assert list(other.json()) == ["error"]


def test_bytes_that_are_no_text_are_wrong_credentials(client: TestClient) -> None:
    assert client.get("/v2", headers={b"Authorization": b"Bearer th\xc3\xa9-\xff"}).status_code == 401


def test_the_admin_key_of_the_settings_is_one_more_key(client: TestClient) -> None:
    for method, path in (("GET", "/v2"), ("GET", "/metrics"), ("POST", "/v2/repository/index")):
        assert client.request(method, path, headers=bearer("bootstrap")).status_code == 200


def test_refusals_are_counted(client: TestClient, keys: dict[str, Any]) -> None:
    client.get("/v2")
    client.get("/v2", headers=bearer(keys["admin"]))
    text = client.get("/metrics", headers=bearer(keys["metrics"])).text
    for reason in ("unauthenticated", "forbidden"):
        assert f'retina_rejected_total{{reason="{reason}"}}' in text


def test_keys_never_reach_the_log(
    client: TestClient, keys: dict[str, Any], caplog: pytest.LogCaptureFixture, make_image: ImageMaker
) -> None:
    caplog.set_level("DEBUG")
    guess = "rsk_000000000000_" + "B" * 43
    client.get("/v2", headers=bearer(guess))
    client.post("/v2/repository/index", headers=bearer(keys["admin"]))
    assert client.post(PREDICT, headers=bearer(keys["predict"]), content=make_image()).status_code == 200
    assert "POST /v2/repository/index by admin-only" in caplog.text
    assert "refused GET /v2 from unknown" in caplog.text
    for key in (guess, keys["admin"], keys["predict"]):
        assert key[-20:] not in caplog.text


def test_a_limit_for_each_caller(models: Path, keys: dict[str, Any]) -> None:
    app = application(models, keys_file=keys["path"], admin_key="bootstrap", rate_limit=0.01, rate_burst=2)
    with TestClient(app) as client:
        answers = [client.get("/v1/models", headers=bearer(keys["predict"])) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert [answer.headers["RateLimit"] for answer in answers] == [
            '"default";r=1;t=100',
            '"default";r=0;t=200',
            '"default";r=0;t=200',
        ]
        assert answers[2].headers["RateLimit-Policy"] == '"default";q=2;w=200'
        assert 98 <= int(answers[2].headers["Retry-After"]) <= 100
        assert answers[2].json()["type"] == "urn:retina-srm:problem:rate-limited"
        assert client.get("/v1/models", headers=bearer("bootstrap")).status_code == 200
        assert [client.get("/v2", headers=bearer("wrong")).status_code for _ in range(3)] == [401, 401, 429]
        assert client.get("/v2/health/ready").status_code == 200
        text = client.get("/metrics", headers=bearer(keys["metrics"])).text
        assert 'retina_rejected_total{reason="rate-limited"} 2.0' in text


def test_without_authentication_anybody_predicts_and_nobody_administers(models: Path) -> None:
    with TestClient(application(models)) as client:
        for path in ("/v2", "/metrics", "/v1/models"):
            assert client.get(path, headers={"Authorization": "Bearer of-a-proxy"}).status_code == 200
        assert client.post("/v2/repository/index").status_code == 403
