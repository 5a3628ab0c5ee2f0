"""The public keys of an OpenID provider (RFC 7517), fetched when needed and cached.

The client of PyJWT fetches again for each unknown key id, and has no keys while the provider is unavailable. Here an
invented key id or an unavailable provider does not affect other callers.
"""

import asyncio
import json
import logging
import time
import urllib.request
from http.client import HTTPException, HTTPMessage
from typing import IO, Any
from urllib.parse import urlsplit

from jwt import PyJWK
from jwt.exceptions import PyJWTError

logger = logging.getLogger(__name__)
ALGORITHMS = ("RS256", "ES256")
KINDS = ("RSA", "EC")
DISCOVERY = "/.well-known/openid-configuration"
MAX_AGE_S = 3600.0
LEAST_INTERVAL_S = 10.0
"""Least time between two fetches, so that tokens with invented key ids do not cause requests to the provider."""
TIMEOUT_S = 5.0
MAX_BYTES = 2**20


class JwksError(RuntimeError):
    """The keys of the provider are unavailable."""


class Jwks:
    """The keys by id. Used from one event loop.

    Args:
        issuer: The provider. Its discovery document names the address if ``url`` is None (OpenID Connect Discovery
            1.0).
        url: Address of the keys, or None.
    """

    def __init__(self, issuer: str, url: str | None) -> None:
        self.issuer = issuer
        self.url = url
        self.keys: dict[str, PyJWK] = {}
        self.lock = asyncio.Lock()
        self.fetched = -MAX_AGE_S
        self.tried = -LEAST_INTERVAL_S
        self.failed = False

    async def get(self, key_id: str) -> PyJWK | None:
        """Return a key, or None if the provider has none with this id.

        Raises:
            JwksError: if the key is not cached and the provider is unavailable.
        """
        if self.is_due(key_id):
            async with self.lock:  # another caller may have fetched meanwhile
                if self.is_due(key_id):
                    await self.fetch()
        if key_id not in self.keys and self.failed:
            raise JwksError
        return self.keys.get(key_id)

    def is_due(self, key_id: str) -> bool:
        now = time.monotonic()
        wanted = key_id not in self.keys or now - self.fetched >= MAX_AGE_S
        return wanted and now - self.tried >= LEAST_INTERVAL_S

    async def fetch(self) -> None:
        self.tried = time.monotonic()
        try:
            document = await asyncio.to_thread(self.download)
            keys = usable(document)
        except (OSError, HTTPException, ValueError, KeyError, TypeError, AttributeError) as error:
            self.failed = True
            logger.error(
                "the keys of %s can't be fetched (%s: %s); %d keys fetched before stay valid",
                self.issuer,
                type(error).__name__,
                error,
                len(self.keys),
            )
            return
        self.keys, self.failed, self.fetched = keys, False, time.monotonic()
        logger.info("fetched %d keys of %s", len(keys), self.issuer)

    def download(self) -> Any:
        url = self.url
        if url is None:
            document = fetch_json(self.issuer.rstrip("/") + DISCOVERY)
            if document["issuer"] != self.issuer:
                raise ValueError(f"the discovery document is of the issuer {document['issuer']!r}")
            url = document["jwks_uri"]
        return fetch_json(url)


def usable(document: Any) -> dict[str, PyJWK]:
    """Return the signing keys of the allowed kinds. A symmetric key in the set is ignored."""
    keys = {}
    for entry in document["keys"]:
        if entry.get("kty") not in KINDS or entry.get("use", "sig") != "sig" or "kid" not in entry:
            continue
        try:
            key = PyJWK(entry)
        except PyJWTError as error:
            logger.warning("a key of the provider is skipped: %s", error)
            continue
        if key.algorithm_name in ALGORITHMS:
            keys[str(entry["kid"])] = key
    if not keys:
        raise ValueError(f"the set holds no key for {' or '.join(ALGORITHMS)}")
    return keys


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect is not followed: only the configured provider is trusted."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        return None


def fetch_json(url: str) -> Any:
    if not is_safe(url):
        raise ValueError(f"{url!r} is not an https address")
    opener = urllib.request.build_opener(NoRedirect)
    with opener.open(url, timeout=TIMEOUT_S) as response:
        text = response.read(MAX_BYTES + 1)
    if len(text) > MAX_BYTES:
        raise ValueError(f"{url} answered more than {MAX_BYTES:,} bytes")
    return json.loads(text)


def is_safe(url: str) -> bool:
    """Whether keys fetched from an address can be trusted: https, or this machine itself."""
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in ("localhost", "127.0.0.1", "::1"))
