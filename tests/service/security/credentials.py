"""Keys, and an OpenID provider on a real port that gives tokens."""

import json
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from service.security.key_file import changing
from service.security.keys import new_key

MODEL = "dr"
PRIVATE = {"one": rsa.generate_private_key(65537, 2048), "two": ec.generate_private_key(ec.SECP256R1())}


def add_key(path: Path, name: str, *scopes: str, expires: datetime | None = None) -> str:
    with changing(path) as entries:
        key, entry = new_key(name, list(scopes), datetime.now(UTC), expires)
        entries.append(entry)
    return key


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


class Provider:
    """An issuer of tokens: its keys, and an HTTP server that shows their public halves."""

    def __init__(self) -> None:
        self.private: dict[str, Any] = dict(PRIVATE)
        self.shown = ["one", "two"]
        self.away = False
        self.requests: list[str] = []
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.requests.append(self.path)
                documents = {"/.well-known/openid-configuration": provider.discovery, "/keys": provider.jwks}
                make = documents.get(self.path)
                self.send_response(503 if provider.away else 200 if make else 404)
                self.end_headers()
                self.wfile.write(json.dumps(make() if make else {}).encode())

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.issuer = f"http://127.0.0.1:{self.server.server_port}"

    def discovery(self) -> dict[str, str]:
        return {"issuer": self.issuer, "jwks_uri": f"{self.issuer}/keys"}

    def jwks(self) -> dict[str, Any]:
        secret = {"kty": "oct", "kid": "secret", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA", "alg": "HS256"}
        return {"keys": [secret, *({**self.public(kid), "kid": kid, "use": "sig"} for kid in self.shown)]}

    def public(self, kid: str) -> dict[str, Any]:
        key = self.private[kid].public_key()
        kind = RSAAlgorithm if isinstance(self.private[kid], rsa.RSAPrivateKey) else ECAlgorithm
        return kind.to_jwk(key, as_dict=True)

    def token(self, kid: str = "one", algorithm: str | None = None, key: Any = None, **changes: Any) -> str:
        """A token that is valid, but for the changes; a claim changed to None is left out."""
        now = int(datetime.now(UTC).timestamp())
        claims: dict[str, Any] = {"iss": self.issuer, "aud": "retina", "sub": "dr-lee", "iat": now, "exp": now + 300}
        claims |= {"scope": "openid retina:predict"} | changes
        private: Any = self.private.get(kid) if key is None else key
        named = algorithm or ("ES256" if isinstance(private, ec.EllipticCurvePrivateKey) else "RS256")
        return jwt.encode(
            {name: value for name, value in claims.items() if value is not None},
            private,
            algorithm=named,
            headers={"kid": kid},
        )
