"""Files for browsers: compressed once, kept, and revalidated by a strong tag."""

import gzip
import os
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient
from starlette.applications import Starlette
from starlette.routing import Mount

from service.http.files import PreparedFiles
from service.routes.page import PAGE

PACKED, PLAIN = {"Accept-Encoding": "gzip"}, {"Accept-Encoding": "identity"}


def raw(client: TestClient, path: str, headers: dict[str, str]) -> tuple[httpx.Response, bytes]:
    with client.stream("GET", path, headers=headers) as response:
        return response, b"".join(response.iter_raw())


@pytest.mark.parametrize("path", ["/static/app.js", "/static/style.css", "/docs-static/swagger-ui-bundle.js"])
def test_text_is_compressed_for_those_who_ask(client: TestClient, path: str) -> None:
    packed, body = raw(client, path, PACKED)
    plain, content = raw(client, path, PLAIN)
    assert packed.headers["Content-Encoding"] == "gzip"
    assert "Content-Encoding" not in plain.headers
    assert gzip.decompress(body) == content
    assert int(packed.headers["Content-Length"]) == len(body) < len(content) / 2
    assert packed.headers["Vary"] == plain.headers["Vary"] == "Accept-Encoding"
    assert packed.headers["Content-Type"] == plain.headers["Content-Type"]


def test_pictures_and_small_files_are_not_compressed(client: TestClient) -> None:
    pictures = [path for path in PAGE.glob("demo/*") if path.suffix in (".png", ".jpg", ".jpeg")]
    assert pictures
    for file in (*pictures, PAGE / "favicon.svg"):
        response, body = raw(client, f"/static/{file.relative_to(PAGE)}", PACKED)
        assert "Content-Encoding" not in response.headers
        assert body == file.read_bytes()


@pytest.mark.parametrize("path", ["/", "/models", "/static/app.js", "/static/favicon.svg"])
@pytest.mark.parametrize("form", [PACKED, PLAIN], ids=["gzip", "plain"])
def test_an_unchanged_file_is_not_sent_again(client: TestClient, path: str, form: dict[str, str]) -> None:
    first = client.get(path, headers=form)
    tag = first.headers["ETag"]
    assert tag.startswith('"')  # strong
    assert first.headers["Cache-Control"] == "no-cache"
    for sent in (tag, f'"other", {tag}', f"W/{tag}", "*"):
        again = client.get(path, headers=form | {"If-None-Match": sent})
        assert (again.status_code, again.content) == (304, b""), sent
        assert again.headers["ETag"] == tag
        assert again.headers["Cache-Control"] == "no-cache"
    assert client.get(path, headers=form | {"If-None-Match": '"other"'}).status_code == 200


def test_the_packed_form_has_a_tag_of_its_own(client: TestClient) -> None:
    tags = [client.get("/static/app.js", headers=form).headers["ETag"] for form in (PACKED, PLAIN)]
    assert tags[0] != tags[1]
    assert client.get("/static/app.js", headers=PLAIN | {"If-None-Match": tags[0]}).status_code == 200


def test_a_file_is_compressed_once_and_again_when_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    compress = gzip.compress
    monkeypatch.setattr("gzip.compress", lambda *a, **k: calls.append(1) or compress(*a, **k))  # type: ignore[func-returns-value]
    file = tmp_path / "a.js"
    file.write_text("first " * 1000)
    with TestClient(Starlette(routes=[Mount("/f", PreparedFiles(tmp_path))])) as client:
        tags = {client.get("/f/a.js").headers["ETag"] for _ in range(3)}
        assert (len(calls), len(tags)) == (1, 1)
        file.write_text("other " * 1000)
        os.utime(file, (1, 1))
        changed = client.get("/f/a.js")
        assert changed.text.startswith("other")
        assert changed.headers["ETag"] not in tags
        assert len(calls) == 2
        for path in ("/f/", "/f/b.js", "/f/../test_files.py", "/f/%00"):
            assert client.get(path).status_code == 404
