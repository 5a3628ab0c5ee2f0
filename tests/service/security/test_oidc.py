"""Tokens of a provider on a real port, with its keys fetched over HTTP; and what attackers send."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from fastapi.testclient import TestClient

from service.app import create_app
from service.security import jwks
from service.security.callers import Access, CredentialsError, UnreachableError
from service.security.scopes import Caller
from service.settings import Settings
from tests.service.security.credentials import Provider, add_key, bearer


class Checker:
    """The service's side, in one event loop as in the service."""

    def __init__(self, provider: Provider, **chosen: Any) -> None:
        settings = Settings(oidc_issuer=provider.issuer, oidc_audience="retina", **chosen)
        self.access, self.loop = Access(settings), asyncio.new_event_loop()

    def check(self, token: str) -> Caller:
        return self.loop.run_until_complete(self.access.identify(f"Bearer {token}"))


@pytest.fixture
def checker(provider: Provider) -> Iterator[Checker]:
    checker = Checker(provider)
    yield checker
    checker.loop.run_until_complete(checker.loop.shutdown_default_executor())
    checker.loop.close()


def test_tokens_of_both_algorithms_and_their_scopes(provider: Provider, checker: Checker) -> None:
    assert checker.check(provider.token()) == Caller("oidc:dr-lee", frozenset({"predict"}))
    assert checker.check(provider.token("two", sub="job")).name == "oidc:job"
    everything = provider.token(scope="retina:admin retina:metrics admin predict", aud=["other", "retina"])
    assert checker.check(everything).scopes == {"admin", "metrics"}
    for scope in (None, "", "openid", 7, ["retina:root"], {"retina:admin": True}, [["retina:admin"]]):
        assert checker.check(provider.token(scope=scope)).scopes == set()
    assert provider.requests == ["/.well-known/openid-configuration", "/keys"]


def test_scopes_from_another_claim(provider: Provider) -> None:
    checker = Checker(
        provider,
        oidc_jwks_url=f"{provider.issuer}/keys",
        oidc_claim="realm_access.roles",
        oidc_scopes={"group-17": "admin"},
    )
    assert checker.check(provider.token(realm_access={"roles": ["group-17", "x"]})).scopes == {"admin"}
    assert checker.check(provider.token(realm_access="group-17")).scopes == set()
    assert provider.requests == ["/keys"]
    checker.loop.close()


def by_hand(header: dict[str, Any], claims: dict[str, Any], secret: bytes | None) -> str:
    """A token made without the library, which refuses to make these."""

    def part(data: bytes) -> bytes:
        return base64.urlsafe_b64encode(data).rstrip(b"=")

    signed = part(json.dumps(header).encode()) + b"." + part(json.dumps(claims).encode())
    signature = b"" if secret is None else hmac.new(secret, signed, hashlib.sha256).digest()
    return (signed + b"." + part(signature)).decode()


def claims(provider: Provider) -> dict[str, Any]:
    now = time.time()
    return {"iss": provider.issuer, "aud": "retina", "sub": "x", "exp": now + 300, "scope": "retina:admin"}


def test_an_algorithm_of_the_token_s_own_choice_is_refused(provider: Provider, checker: Checker) -> None:
    public = provider.private["one"].public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    for algorithm in ("none", "None", "NONE", "nOnE", ""):
        with pytest.raises(CredentialsError, match="algorithm"):
            checker.check(by_hand({"alg": algorithm, "kid": "one"}, claims(provider), None))
    for secret in (pem, der, b""):
        for kid in ("one", "secret"):
            with pytest.raises(CredentialsError, match="algorithm"):
                checker.check(by_hand({"alg": "HS256", "kid": kid}, claims(provider), secret))
    shared = base64.urlsafe_b64decode("c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA==")
    with pytest.raises(CredentialsError, match="algorithm"):
        checker.check(by_hand({"alg": "HS256", "kid": "secret"}, claims(provider), shared))
    with pytest.raises(CredentialsError, match="issuer's"):
        checker.check(by_hand({"alg": "RS256", "kid": "secret"}, claims(provider), shared))
    for mixed in (provider.token("one", "ES256", provider.private["two"]), provider.token("one", "RS512")):
        with pytest.raises(CredentialsError):
            checker.check(mixed)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"iss": "https://evil.example"}, "another issuer"),
        ({"iss": None}, "lacks the claim iss"),
        ({"aud": "other"}, "another audience"),
        ({"aud": ["other"]}, "another audience"),
        ({"aud": None}, "lacks the claim aud"),
        ({"exp": 1_000_000_000}, "expired"),
        ({"exp": None}, "lacks the claim exp"),
        ({"nbf": 9_999_999_999}, "not valid yet"),
        ({"sub": None}, "lacks the claim sub"),
        ({"sub": ""}, "subject"),
        ({"sub": "two\nlines"}, "subject"),
        ({"sub": "x" * 256}, "subject"),
        ({"kid": "three"}, "issuer's"),
    ],
)
def test_claims_that_do_not_fit(provider: Provider, checker: Checker, changes: dict[str, Any], words: str) -> None:
    key = provider.private["one"]
    with pytest.raises(CredentialsError, match=words):
        checker.check(provider.token(**{"key": key, **changes}))


def test_another_s_signature_and_changed_claims(provider: Provider, checker: Checker) -> None:
    strangers = {"one": rsa.generate_private_key(65537, 2048), "two": ec.generate_private_key(ec.SECP256R1())}
    for kid, key in strangers.items():
        with pytest.raises(CredentialsError, match="its signature or a claim is not valid"):
            checker.check(provider.token(kid, key=key))
    head, body, signature = provider.token().split(".")
    forged = base64.urlsafe_b64encode(json.dumps(claims(provider)).encode()).decode().rstrip("=")
    for token in (f"{head}.{forged}.{signature}", f"{head}.{body}.", f"{head}.{body}.{signature[:-8]}"):
        with pytest.raises(CredentialsError):
            checker.check(token)
    for nonsense in ("..", "a.b.c", "e30.e30.e30", "é.é.é"):
        with pytest.raises(CredentialsError):
            checker.check(nonsense)


def test_rotation_takes_in_the_new_key_and_drops_the_old(
    provider: Provider, checker: Checker, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    monkeypatch.setattr("service.security.jwks.time.monotonic", lambda: clock[0])
    checker.check(provider.token())
    provider.private["three"] = rsa.generate_private_key(65537, 2048)
    provider.shown = ["two", "three"]
    with pytest.raises(CredentialsError):  # asked a moment ago: not again
        checker.check(provider.token("three"))
    clock[0] += jwks.LEAST_INTERVAL_S
    assert checker.check(provider.token("three")).name == "oidc:dr-lee"
    with pytest.raises(CredentialsError, match="issuer's"):
        checker.check(provider.token("one"))


def test_invented_key_ids_are_not_requests_to_the_provider(provider: Provider, checker: Checker) -> None:
    for number in range(20):
        with pytest.raises(CredentialsError):
            checker.check(provider.token(f"invented-{number}", key=provider.private["one"]))
    assert provider.requests.count("/keys") == 1


def test_a_provider_that_is_away(
    provider: Provider, checker: Checker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = [1000.0]
    monkeypatch.setattr("service.security.jwks.time.monotonic", lambda: clock[0])
    provider.away = True
    for _ in range(3):
        with pytest.raises(UnreachableError):
            checker.check(provider.token())
    assert caplog.text.count("can't be fetched") == 1
    assert len(provider.requests) == 1
    provider.away = False
    clock[0] += jwks.LEAST_INTERVAL_S
    checker.check(provider.token())
    provider.away = True
    clock[0] += jwks.MAX_AGE_S
    assert checker.check(provider.token()).name == "oidc:dr-lee"  # the keys fetched before go on
    assert "2 keys fetched before stay valid" in caplog.text
    with pytest.raises(UnreachableError):
        checker.check(provider.token("unknown", key=provider.private["one"]))


@pytest.mark.parametrize(
    "answer",
    [b"no JSON", b"[]", b"{}", b'{"keys": []}', b'{"keys": [7]}', b'{"keys": [{"kty": "RSA", "kid": "1", "n": "x"}]}'],
)
def test_a_provider_that_answers_nonsense(
    provider: Provider, checker: Checker, answer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jwks.Jwks, "download", lambda _: json.loads(answer))
    with pytest.raises(UnreachableError):
        checker.check(provider.token())


def test_over_http(provider: Provider, models: Path, tmp_path: Path) -> None:
    """Keys and tokens work beside each other; a provider that is away is 503 for its tokens alone."""
    key = add_key(tmp_path / "keys.json", "clinic", "predict")
    settings = Settings(
        model_repository=models,
        provider="cpu",
        threads=1,
        oidc_issuer=provider.issuer,
        oidc_audience="retina",
        keys_file=tmp_path / "keys.json",
    )
    provider.away = True
    with TestClient(create_app(settings)) as client:
        away = client.get("/v1/models", headers=bearer(provider.token()))
        assert (away.status_code, away.headers["Retry-After"]) == (503, "10")
        assert away.json()["type"] == "urn:retina-srm:problem:provider-unreachable"
        assert client.get("/v1/models", headers=bearer(key)).status_code == 200
    provider.away = False
    with TestClient(create_app(settings)) as client:
        assert client.get("/v1/models", headers=bearer(provider.token())).status_code == 200
        assert client.post("/v2/repository/index", headers=bearer(provider.token())).status_code == 403
        expired = client.get("/v1/models", headers=bearer(provider.token(exp=1)))
        assert expired.status_code == 401
        assert 'error="invalid_token"' in expired.headers["WWW-Authenticate"]
        assert "expired" in expired.json()["detail"]
