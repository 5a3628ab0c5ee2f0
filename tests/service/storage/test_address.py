"""Addresses of repositories in the settings."""

import subprocess
import sys
from pathlib import Path

import pytest
from fsspec.registry import _registry

from service.settings import Settings, SettingsError, load_settings
from service.storage.store import Store


def test_the_repository_is_the_folder_of_the_copy(tmp_path: Path) -> None:
    settings = Settings(model_repository="s3://bucket/models/", model_cache=tmp_path)
    assert settings.store == "s3://bucket/models"
    assert settings.model_repository.parent == tmp_path
    other = Settings(model_repository="s3://bucket-models", model_cache=tmp_path)
    assert other.model_repository != settings.model_repository
    assert settings.model_copy(update={"threads": 1}).store == settings.store


def test_without_a_setting_copies_lie_in_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("RETINA_MODEL_REPOSITORY", "s3://bucket/models")
    assert load_settings().model_repository.parent == tmp_path / "retina-srm" / "models"


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("s3://id:hunter2@bucket/models", "no password"),
        ("az://bucket/models?sig=hunter2", "no password"),
        ("https://host/models", "not https://"),
        ("s3:///models", "names no bucket"),
    ],
)
def test_an_address_that_cannot_be_copied_is_one_sentence(
    address: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETINA_MODEL_REPOSITORY", address)
    with pytest.raises(SettingsError, match=reason) as raised:
        load_settings()
    assert "hunter2" not in str(raised.value)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(_registry, "s3", raising=False)  # another test may have used it
    with pytest.raises(SettingsError, match=r"s3://bucket needs s3fs: pip install 'retina-srm\[s3\]'"):
        Store("s3://bucket")


def test_a_folder_needs_no_fsspec(repository: Path) -> None:
    code = f"""
import sys
from service.app import create_app
from service.settings import Settings
create_app(Settings(model_repository={str(repository)!r}, provider="cpu", threads=1))
assert "fsspec" not in sys.modules and "s3fs" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
