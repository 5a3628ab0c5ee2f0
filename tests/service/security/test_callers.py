"""Who is let in by which settings, and which settings do not start."""

from pathlib import Path
from typing import Any

import pytest

from service.security.callers import Access
from service.settings import Settings, SettingsError, load_settings
from tests.service.security.credentials import add_key


def required(**chosen: Any) -> bool:
    return Access(Settings(**chosen)).required


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.8.9.1"])
def test_off_on_loopback(host: str) -> None:
    assert not required(host=host)


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "10.1.2.3", "retina.example", "localhost.example", "", "127.0.0.1.x"]
)
def test_no_start_elsewhere_without_a_choice(host: str, tmp_path: Path) -> None:
    for chosen in ({"host": host}, {"published_host": host or "x"}, {"host": host, "admin_key": "the-key"}):
        with pytest.raises(SettingsError, match=r"RETINA_KEYS_FILE .*RETINA_OIDC_ISSUER.*RETINA_AUTH=none"):
            required(**chosen)
    assert not required(host=host, auth="none")
    assert required(host=host, auth="required", admin_key="the-key")
    add_key(tmp_path / "keys.json", "clinic", "predict")
    assert required(host=host, keys_file=tmp_path / "keys.json")


def test_a_container_published_on_loopback_is_open() -> None:
    assert not required(host="0.0.0.0", published_host="127.0.0.1")


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({"auth": "required"}, "RETINA_AUTH=required lets nobody in"),
        ({"oidc_issuer": "https://id.example"}, "needs RETINA_OIDC_AUDIENCE"),
        ({"oidc_audience": "retina"}, "need RETINA_OIDC_ISSUER"),
        ({"oidc_issuer": "http://id.example", "oidc_audience": "x"}, "RETINA_OIDC_ISSUER .* https"),
        ({"oidc_issuer": "https://i", "oidc_audience": "x", "oidc_jwks_url": "file:///x"}, "JWKS_URL .* https"),
    ],
)
def test_contradictions_do_not_start(chosen: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        Access(Settings(**chosen))


@pytest.mark.parametrize("origins", ["*", "viewer.example", "https://a.example/path", "https://a.example;x", "null"])
def test_origins_are_named_one_by_one(origins: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETINA_CORS_ORIGINS", origins)
    with pytest.raises(SettingsError, match="RETINA_CORS_ORIGINS"):
        load_settings()


def test_an_empty_variable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """As compose passes on what is not set."""
    for name in ("KEYS_FILE", "ADMIN_KEY", "OIDC_ISSUER", "AUTH"):
        monkeypatch.setenv(f"RETINA_{name}", "")
    settings = load_settings()
    assert (settings.keys_file, settings.admin_key, settings.oidc_issuer, settings.auth) == (None, None, None, "auto")
