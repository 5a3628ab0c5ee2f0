"""Who sent a request: an API key, a token of the provider, the admin key of the settings, or an unknown caller."""

import hmac
import ipaddress
import logging
from typing import TYPE_CHECKING

from service.security.key_file import KeyFile
from service.security.keys import digest, key_id
from service.security.scopes import SCOPES, Caller
from service.settings import Settings, SettingsError

if TYPE_CHECKING:
    from service.security.oidc import Tokens

logger = logging.getLogger(__name__)
NOBODY = Caller(None, frozenset())
ANYBODY = Caller(None, frozenset(("predict", "metrics")))
"""A caller without credentials while authentication is off.

Never admin, because any web page could send such a request.
"""


class CredentialsError(ValueError):
    """Credentials that are not accepted. The text says why, and does not repeat them."""


class UnreachableError(RuntimeError):
    """The keys of the provider are unavailable, so a token can't be checked."""


class Access:
    """Identifies callers, as the settings ask.

    Raises:
        SettingsError: if the settings contradict each other, or would open the service to others without a choice.
        KeyFileError: if the key file can't be used.
    """

    def __init__(self, settings: Settings) -> None:
        self.required = is_required(settings)
        self.keys = KeyFile(settings.keys_file) if settings.keys_file else None
        self.tokens = tokens(settings)
        self.admin = digest(settings.admin_key.get_secret_value()) if settings.admin_key else None
        self.has_sources = bool(self.keys or self.tokens or self.admin)
        if self.required:
            logger.info("authentication is on: %s", ", ".join(self.sources()))
        else:
            logger.info("authentication is off: anybody who reaches %s may predict", settings.host)

    def sources(self) -> list[str]:
        named = {"keys of RETINA_KEYS_FILE": self.keys, "tokens of RETINA_OIDC_ISSUER": self.tokens}
        return [name for name, source in (named | {"RETINA_ADMIN_KEY": self.admin}).items() if source]

    async def identify(self, authorization: str) -> Caller:
        """Return the caller of an ``Authorization`` header. Schemes other than Bearer count as no credentials.

        Raises:
            CredentialsError: if they are not accepted.
            UnreachableError: if the keys of the provider are unavailable.
        """
        scheme, _, sent = authorization.partition(" ")
        if scheme.lower() != "bearer" or not self.has_sources:
            return NOBODY if self.required else ANYBODY
        sent = sent.strip()
        if self.admin is not None and hmac.compare_digest(self.admin, digest(sent)):
            return Caller("admin", frozenset(SCOPES))
        if key_id(sent) is not None:
            caller = self.keys.check(sent) if self.keys else None
            if caller is None:
                raise CredentialsError("the key is unknown, expired or revoked")
            return caller
        if self.tokens is None or sent.count(".") != 2:
            raise CredentialsError("the key is missing or wrong")
        from service.security.jwks import JwksError
        from service.security.oidc import TokenError

        try:
            return await self.tokens.check(sent)
        except TokenError as error:
            raise CredentialsError(f"the token is not accepted: {error}") from None
        except JwksError:
            raise UnreachableError from None


def is_required(settings: Settings) -> bool:
    """Whether requests need credentials.

    Raises:
        SettingsError: if no way in is set, and the service can be reached from other machines or the settings require
            authentication.
    """
    if settings.auth == "none":
        return False
    if settings.keys_file or settings.oidc_issuer:
        return True
    if settings.auth == "required":
        if settings.admin_key:
            return True
        raise SettingsError(
            "RETINA_AUTH=required lets nobody in: set RETINA_KEYS_FILE, RETINA_OIDC_ISSUER or RETINA_ADMIN_KEY too"
        )
    reached_at = settings.published_host or settings.host
    if is_loopback(reached_at):
        return False
    raise SettingsError(
        f"The service would be open to anybody who reaches {reached_at}: set RETINA_KEYS_FILE (python -m service keys "
        "add NAME) or RETINA_OIDC_ISSUER, or, if a reverse proxy checks callers, RETINA_AUTH=none"
    )


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def tokens(settings: Settings) -> "Tokens | None":
    """Create the check of OpenID tokens, if an issuer is set.

    Raises:
        SettingsError: if a part is missing.
    """
    if settings.oidc_issuer is None:
        if settings.oidc_audience or settings.oidc_jwks_url:
            raise SettingsError("RETINA_OIDC_AUDIENCE and RETINA_OIDC_JWKS_URL need RETINA_OIDC_ISSUER")
        return None
    if settings.oidc_audience is None:
        raise SettingsError(
            "RETINA_OIDC_ISSUER needs RETINA_OIDC_AUDIENCE: without it, tokens for other services would be let in"
        )
    try:
        from service.security.jwks import Jwks, is_safe
        from service.security.oidc import Tokens
    except ModuleNotFoundError:
        raise SettingsError("RETINA_OIDC_ISSUER needs PyJWT: pip install 'retina-srm[oidc]'") from None
    for name, url in (("ISSUER", settings.oidc_issuer), ("JWKS_URL", settings.oidc_jwks_url)):
        if url is not None and not is_safe(url):
            raise SettingsError(f"RETINA_OIDC_{name} is {url!r}: it must be an https address")
    jwks = Jwks(settings.oidc_issuer, settings.oidc_jwks_url)
    return Tokens(jwks, settings.oidc_audience, settings.oidc_claim, settings.oidc_scopes)
