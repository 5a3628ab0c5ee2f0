"""The service under a prefix, behind a reverse proxy that strips it and behind one that does not."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin

import httpx
import pytest

from service.settings import SettingsError, load_settings
from tests.conftest import ImageMaker
from tests.service.process import running
from tests.service.proxy import PREFIX, proxy


@pytest.fixture(scope="module")
def by_setting(repository: Path) -> Iterator[str]:
    with running(repository, RETINA_ROOT_PATH=PREFIX, RETINA_THREADS="1") as (_, address, _):
        yield address


@pytest.fixture(scope="module")
def by_header(repository: Path) -> Iterator[str]:
    with running(repository, RETINA_TRUSTED_PROXIES="127.0.0.1", RETINA_THREADS="1") as (_, address, _):
        yield address


@pytest.fixture(params=["strips", "leaves", "header"])
def outside(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of the service for those outside: proxy and prefix."""
    kind = request.param
    service = request.getfixturevalue("by_header" if kind == "header" else "by_setting")
    forwarded = f"{PREFIX}/" if kind == "header" else None
    with proxy(service, strip=kind != "leaves", forwarded=forwarded) as address:
        yield address + PREFIX


def test_every_link_of_the_pages_stays_under_the_prefix(outside: str) -> None:
    for page in (f"{outside}/", outside, f"{outside}/models", f"{outside}/docs"):
        text = httpx.get(page).raise_for_status().text
        links = [link for link in re.findall(r"(?:href|src)=\"([^\"]+)\"", text) if not link.startswith("http")]
        assert links, page
        for link in links:
            assert link.startswith(f"{PREFIX}/"), link
            assert httpx.get(urljoin(page, link)).status_code == 200, link
    described = re.search(r"url: '([^']+)'", text)
    assert described is not None
    document = httpx.get(urljoin(outside, described[1])).raise_for_status().json()
    assert document["servers"] == [{"url": PREFIX}]


def test_links_redirects_and_errors_of_the_api(outside: str, make_image: ImageMaker) -> None:
    models = httpx.get(f"{outside}/v1/models").raise_for_status().json()["models"]
    for model in models:
        assert model["card"].startswith(f"{PREFIX}/v1/models/")
        assert httpx.get(urljoin(outside, model["card"])).json()["name"] == model["name"]
    redirect = httpx.get(f"{outside}/v1/models/")
    assert (redirect.status_code, redirect.headers["Location"]) == (307, f"{PREFIX}/v1/models")
    assert httpx.get(f"{outside}/v1/models/", follow_redirects=True).json()["models"] == models
    assert f"{PREFIX}/docs" in httpx.get(f"{outside}/nothing").json()["detail"]
    assert list(httpx.get(f"{outside}/v2/models/nothing").json()) == ["error"]
    answer = httpx.post(f"{outside}/v1/models/colour/predict", content=make_image())
    assert answer.status_code == 200
    assert httpx.get(f"{outside}/v2/health/ready").json() == {"ready": True}
    assert "script-src 'self'" in httpx.get(f"{outside}/").headers["Content-Security-Policy"]


def test_probes_need_no_prefix(by_setting: str) -> None:
    assert httpx.get(f"{by_setting}/v2/health/ready").json() == {"ready": True}


def test_only_a_trusted_proxy_names_the_prefix(by_setting: str, by_header: str) -> None:
    sent = {"X-Forwarded-Prefix": "/evil"}
    assert "/evil/" not in httpx.get(f"{by_setting}/", headers=sent).text  # trusts nobody
    assert "/evil/static/app.js" in httpx.get(f"{by_header}/", headers=sent).text
    for strange in ('/"><script>', "//evil.example", "/../x", "evil", "https://evil.example", "/é"):
        text = httpx.get(f"{by_header}/", headers={b"X-Forwarded-Prefix": strange.encode()}).text
        assert '"/static/app.js"' in text, strange


@pytest.mark.parametrize("value", ["retina", "/retina/", "//retina", "/a b", '/"'])
def test_a_prefix_that_can_t_be_one(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("RETINA_ROOT_PATH", value)
    with pytest.raises(SettingsError, match="RETINA_ROOT_PATH must match"):
        load_settings()
