"""An API key: ``rsk_<id>_<secret>``, of which only a digest is kept.

The secret has 256 random bits, so nobody can try all candidates even with a fast hash. SHA-256 is enough here; a
password would need a slow hash. The id finds the entry. It is not secret, and ``keys list`` shows it. The prefix is for
scanners that look for leaked keys.
"""

import hashlib
import hmac
import re
import secrets
from datetime import datetime
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from service.security.scopes import Caller, Scope

FORMAT = re.compile(r"rsk_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"


class KeyEntry(BaseModel):
    """The stored entry of a key."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern=r"^[0-9a-f]{12}$")
    name: str = Field(pattern=NAME_PATTERN, description="Name of the caller. A caller may have several keys.")
    scopes: Annotated[list[Scope], Field(min_length=1)]
    digest: str = Field(pattern=r"^sha256:[0-9a-f]{64}$")
    created: AwareDatetime
    expires: AwareDatetime | None = None
    revoked: AwareDatetime | None = None

    def status(self, now: datetime) -> str:
        """``active``, ``expired`` or ``revoked``."""
        if self.revoked is not None:
            return "revoked"
        return "expired" if self.expires is not None and self.expires <= now else "active"

    def matches(self, key: str) -> bool:
        """Whether a key is this one, compared in constant time."""
        return hmac.compare_digest(self.digest, digest(key))

    def caller(self) -> Caller:
        return Caller(self.name, frozenset(self.scopes))


def new_key(name: str, scopes: list[str], created: datetime, expires: datetime | None) -> tuple[str, KeyEntry]:
    """Make a key and its stored entry.

    Raises:
        ValidationError: if the name or a scope is invalid.
    """
    identifier = secrets.token_hex(6)
    key = f"rsk_{identifier}_{secrets.token_urlsafe(32)}"
    entry = {"id": identifier, "name": name, "scopes": sorted(set(scopes)), "digest": digest(key)}
    return key, KeyEntry.model_validate(entry | {"created": created, "expires": expires})


def key_id(text: str) -> str | None:
    """Return the id of a key, or None if the text is not a key of this service."""
    found = FORMAT.fullmatch(text)
    return found[1] if found else None


def digest(key: str) -> str:
    return f"sha256:{hashlib.sha256(key.encode()).hexdigest()}"
