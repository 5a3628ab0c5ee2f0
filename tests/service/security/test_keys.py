"""A key is random, found by its id, and kept as a digest alone."""

import hashlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from service.security.keys import key_id, new_key

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def test_only_a_digest_is_kept() -> None:
    key, entry = new_key("clinic", ["predict", "predict"], NOW, None)
    assert entry.digest == "sha256:" + hashlib.sha256(key.encode("ascii")).hexdigest()
    assert key.rpartition("_")[2] not in entry.model_dump_json()
    assert key_id(key) == entry.id
    assert entry.matches(key)
    assert entry.caller().scopes == {"predict"}
    assert len({new_key("clinic", ["predict"], NOW, None)[0] for _ in range(200)}) == 200


KEY, ENTRY = new_key("clinic", ["predict"], NOW, None)
ALMOST = st.builds(
    lambda at, char: KEY[:at] + char + KEY[at + 1 :], st.integers(0, len(KEY) - 1), st.characters(codec="utf-8")
)


@given(st.one_of(st.text(), ALMOST, st.from_regex(r"rsk_[0-9a-f]{12}_[\w-]{40,46}\n?", fullmatch=True)))
def test_no_other_text_is_the_key(text: str) -> None:
    assert ENTRY.matches(text) == (text == KEY)
    identifier = key_id(text)
    if identifier is not None:
        assert text.isascii()
        assert text.startswith(f"rsk_{identifier}_")
        assert len(text) == len(KEY)


@pytest.mark.parametrize(
    ("name", "scopes"), [("", ["predict"]), ("a/b", ["predict"]), ("oidc:me", ["predict"]), ("x\n", ["predict"]),
                         ("x" * 65, ["predict"]), ("x", []), ("x", ["root"])]
)  # fmt: skip
def test_bad_names_and_scopes_are_refused(name: str, scopes: list[str]) -> None:
    with pytest.raises(ValidationError):
        new_key(name, scopes, NOW, None)
