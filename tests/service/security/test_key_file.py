"""The key file: written whole, safe to share with a running service, and changed by the command line."""

import json
import re
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from service.__main__ import app
from service.security.key_file import KeyFile, KeyFileError, changing, read
from tests.service.security.credentials import add_key


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RETINA_KEYS_FILE", str(tmp_path / "keys.json"))
    return tmp_path / "keys.json"


def keys(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["keys", *arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def test_add_list_revoke(path: Path) -> None:
    keys_file_text = keys("add", "clinic", "--scope", "predict", "--scope", "admin", "--expires", "90d").strip()
    other = keys("add", "scraper", "--scope", "metrics").strip()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    held = KeyFile(path)
    clinic, scraper = held.check(keys_file_text), held.check(other)
    assert clinic is not None
    assert scraper is not None
    assert (clinic.name, clinic.scopes) == ("clinic", frozenset(("admin", "predict")))
    assert scraper.scopes == {"metrics"}
    listed = keys("list")
    assert re.search(r"clinic +admin,predict +active", listed)
    for key in (keys_file_text, other):
        assert key[17:] not in listed + path.read_text()
    keys("revoke", "clinic")
    assert held.check(keys_file_text) is None
    assert held.check(other) == scraper
    assert re.search(r"clinic +admin,predict +revoked", keys("list"))
    keys("revoke", read(path)[0].keys[1].id)
    assert held.check(other) is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["add", "a b"], "name must match"),
        (["add", "a", "--scope", "root"], "'predict', 'metrics' or 'admin'"),
        (["add", "a", "--expires", "soon"], "neither days"),
        (["add", "a", "--expires", "2020-01-01"], "not in the future"),
        (["add", "a", "--expires", "99999d99"], "neither days"),
        (["revoke", "nobody"], "no key with the id or name 'nobody'"),
    ],
)
def test_mistakes_change_nothing(path: Path, arguments: list[str], words: str) -> None:
    add_key(path, "clinic", "predict")
    before = path.read_bytes()
    with pytest.raises(KeyFileError, match=words):
        CliRunner().invoke(app, ["keys", *arguments], catch_exceptions=False)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_key_ends_when_it_expires(path: Path) -> None:
    now = datetime.now(UTC)
    for left, valid in ((timedelta(hours=1), True), (timedelta(seconds=-1), False)):
        key = add_key(path, "clinic", "predict", expires=now + left)
        assert (KeyFile(path).check(key) is not None) is valid


def test_two_changes_at_once_do_not_lose_one(path: Path) -> None:
    with changing(path), pytest.raises(KeyFileError, match=r"Another change .* remove .*keys\.json\.new"):
        add_key(path, "late", "predict")
    add_key(path, "later", "predict")


def test_an_interrupted_change_leaves_the_file(path: Path) -> None:
    add_key(path, "clinic", "predict")
    before = path.read_bytes()

    def interrupted() -> None:
        with changing(path) as entries:
            entries.clear()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_bytes() == before
    add_key(path, "next", "predict")


@pytest.mark.parametrize("damage", ["", "{", '{"version": 2}', '{"keys": [{"id": "x"}]}', '{"kys": []}'])
def test_a_damaged_file_stops_the_start_and_not_the_service(
    path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    key = add_key(path, "clinic", "predict")
    held = KeyFile(path)
    path.write_text(damage)
    assert held.check(key) is not None
    assert held.check(key) is not None
    assert caplog.text.count("the keys read before stay valid") == 1
    with pytest.raises(KeyFileError, match=r"damaged"):
        KeyFile(path)


def test_a_file_that_others_may_write_is_refused(path: Path) -> None:
    key = add_key(path, "clinic", "predict")
    held = KeyFile(path)
    path.chmod(0o666)
    forged = json.loads(path.read_text())
    forged["keys"][0]["scopes"] = ["admin"]
    path.write_text(json.dumps(forged))
    with pytest.raises(KeyFileError, match="chmod 600"):
        KeyFile(path)
    caller = held.check(key)
    assert caller is not None
    assert caller.scopes == {"predict"}
    path.chmod(0o644)  # as secrets mounted into a container often are
    caller = held.check(key)
    assert caller is not None
    assert caller.scopes == {"admin"}


def test_a_file_that_is_gone_comes_back(path: Path) -> None:
    key = add_key(path, "clinic", "predict")
    held = KeyFile(path)
    away = path.rename(path.with_suffix(".away"))
    assert held.check(key) is not None
    with pytest.raises(KeyFileError, match="keys add NAME"):
        KeyFile(path)
    away.rename(path)
    new = add_key(path, "other", "predict")
    assert held.check(new) is not None
