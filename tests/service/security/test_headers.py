"""What browsers are told: nothing inline, nothing framed, nothing kept, nobody else's pages."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.routes.page import PAGE
from service.settings import Settings


@pytest.fixture(scope="module")
def client(models: Path) -> Iterator[TestClient]:
    settings = Settings(
        model_repository=models, provider="cpu", threads=1, cors_origins="https://a.example, http://b:81"
    )
    with TestClient(create_app(settings)) as client:
        yield client


def policy(text: str) -> dict[str, list[str]]:
    return {name: values for name, *values in (part.split() for part in text.split(";"))}


@pytest.mark.parametrize(
    "path", ["/", "/status", "/static/style.css", "/docs", "/v1/models", "/v2", "/nothing", "/static/nothing"]
)
def test_every_answer_has_them_once(client: TestClient, path: str) -> None:
    fields = client.get(path).headers
    for name in ("Content-Security-Policy", "X-Content-Type-Options", "Referrer-Policy", "Cache-Control"):
        assert len(fields.get_list(name)) == 1, name
    assert fields["X-Content-Type-Options"] == "nosniff"
    rules = policy(fields["Content-Security-Policy"])
    assert rules["default-src"] == ["'none'"]
    assert rules["frame-ancestors"] == ["'none'"]
    assert fields["Cache-Control"] == ("no-store" if path.startswith("/v") or path == "/nothing" else "no-cache")


def test_the_page_runs_under_a_strict_policy(client: TestClient) -> None:
    rules = policy(client.get("/").headers["Content-Security-Policy"])
    assert (rules["script-src"], rules["style-src"], rules["connect-src"]) == (["'self'"], ["'self'"], ["'self'"])
    for file in PAGE.rglob("*.html"):
        text = file.read_text()
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=|javascript:", text)
        assert not re.search(r"(?:src|href)=[\"'](?:https?:)?//", text)
    bypasses = r"\beval\(|new Function|setAttribute\([\"']style|innerHTML|cssText"
    for file in PAGE.rglob("*.js"):  # Preact, in vendor/, has the means; what is written here must not use them
        if file.parent.name != "vendor":
            assert not re.search(bypasses, file.read_text(), re.IGNORECASE), file
        assert not re.search(r"\beval\(|new Function", file.read_text()), file


def test_only_named_origins_may_ask(client: TestClient, models: Path) -> None:
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
    for origin, allowed in (("https://a.example", True), ("http://b:81", True), ("https://evil.example", False)):
        answer = client.options("/v1/models/x/predict", headers={"Origin": origin, **asked})
        assert (answer.headers.get("Access-Control-Allow-Origin") == origin) is allowed
        assert "Access-Control-Allow-Credentials" not in answer.headers
    with TestClient(create_app(Settings(model_repository=models, provider="cpu", threads=1))) as closed:
        for method in ("OPTIONS", "GET"):
            answer = closed.request(method, "/v1/models", headers={"Origin": "https://a.example", **asked})
            assert not [name for name in answer.headers if name.startswith("access-control")]
