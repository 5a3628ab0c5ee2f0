"""Bearer tokens of an OpenID Connect provider: signed JWTs (RFC 7519, RFC 9068) for this service's audience."""

from collections.abc import Mapping
from typing import Any

import jwt
from jwt.exceptions import (
    ExpiredSignatureError,
    ImmatureSignatureError,
    InvalidAudienceError,
    InvalidIssuerError,
    MissingRequiredClaimError,
    PyJWTError,
)

from service.security.jwks import ALGORITHMS, Jwks
from service.security.scopes import Caller, Scope

LEEWAY_S = 30
REQUIRED = ["exp", "iss", "aud", "sub"]
MAX_SUBJECT = 255  # OpenID Connect Core 1.0, section 2
OPTIONS: Any = {"require": REQUIRED, "enforce_minimum_key_length": True}


class TokenError(ValueError):
    """A token that is not accepted. The text says why, and does not repeat the token."""


class Tokens:
    """Checks tokens of one issuer for one audience.

    Args:
        jwks: The issuer's keys.
        audience: What ``aud`` must hold.
        claim: The claim with the scopes, or a path of claims with dots. Its value is a string with spaces, or a list.
        mapping: The scope for each value of that claim. Other values give no scope.
    """

    def __init__(self, jwks: Jwks, audience: str, claim: str, mapping: Mapping[str, Scope]) -> None:
        self.jwks = jwks
        self.audience = audience
        self.claim = claim
        self.mapping = mapping

    async def check(self, token: str) -> Caller:
        """Return the caller of a token.

        The key decides the algorithm, among those allowed, never the token (RFC 8725, section 3.1). So a token without
        a signature, or signed with the public key as an HMAC secret, fails.

        Raises:
            TokenError: if the token is not valid.
            JwksError: if the key that it names can't be fetched.
        """
        try:
            header = jwt.get_unverified_header(token)
        except PyJWTError:
            raise TokenError("it is not a signed token") from None
        if header.get("alg") not in ALGORITHMS:
            raise TokenError(f"its algorithm is not {' or '.join(ALGORITHMS)}")
        key_id = header.get("kid")
        key = await self.jwks.get(key_id) if isinstance(key_id, str) else None
        if key is None:
            raise TokenError("its key is not one of the issuer's")
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=ALGORITHMS,
                audience=self.audience,
                issuer=self.jwks.issuer,
                leeway=LEEWAY_S,
                options=OPTIONS,
            )
        except ExpiredSignatureError:
            raise TokenError("it has expired") from None
        except InvalidIssuerError:
            raise TokenError("it is of another issuer") from None
        except InvalidAudienceError:
            raise TokenError("it is for another audience") from None
        except ImmatureSignatureError:
            raise TokenError("it is not valid yet") from None
        except MissingRequiredClaimError as error:
            raise TokenError(f"it lacks the claim {error.claim}") from None
        except PyJWTError:
            raise TokenError("its signature or a claim is not valid") from None
        subject = claims["sub"]
        if not subject or len(subject) > MAX_SUBJECT or not subject.isprintable():
            raise TokenError("its subject is not a name")
        return Caller(f"oidc:{subject}", frozenset(self.scopes(claims)))

    def scopes(self, claims: Any) -> list[Scope]:
        value = claims
        for part in self.claim.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        values = value.split() if isinstance(value, str) else value if isinstance(value, list) else []
        return [self.mapping[entry] for entry in values if isinstance(entry, str) and entry in self.mapping]
