"""Every setting of the service, from environment variables that begin with ``RETINA_``."""

import difflib
import os
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from models.preprocessing import DEFAULT_MAX_PIXELS
from service.security.scopes import Scope

SHIPPED_REPOSITORY = Path(__file__).parent.parent / "models" / "repository"


class SettingsError(ValueError):
    """A setting that can't be used; the text names it and says what it may be."""


class Settings(BaseSettings):
    """Settings with safe defaults; each is the environment variable ``RETINA_<NAME>``."""

    model_config = SettingsConfigDict(env_prefix="RETINA_", env_ignore_empty=True, frozen=True, protected_namespaces=())

    host: str = Field(default="127.0.0.1", description="Address to listen on; the default is this machine alone.")
    port: int = Field(default=8000, ge=0, le=65535, description="Port to listen on; 0 takes any free one.")
    model_repository: Path = Field(
        default=SHIPPED_REPOSITORY, description="Folder of model packages, `<model>/<version>/model.onnx`."
    )
    repository_poll_seconds: float = Field(
        default=0.0,
        ge=0,
        description="How often to look for new packages in the repository, in seconds; 0 never looks after the start.",
    )
    served_versions: int = Field(
        default=0, ge=0, description="How many of a model's versions to serve, the newest ones; 0 serves all."
    )
    published_host: str | None = Field(
        default=None,
        description="Address at which callers reach the service where that is not `RETINA_HOST`, such as the one that "
        "a container is published on.",
    )
    auth: Literal["auto", "required", "none"] = Field(
        default="auto",
        description="Whether callers need a key or token. `auto`: yes with a key file or an issuer, else no on "
        "loopback and no start elsewhere. `none` lets anybody predict.",
    )
    keys_file: Path | None = Field(
        default=None, description="File of API keys, which `python -m service keys` writes; read again when it changes."
    )
    admin_key: SecretStr | None = Field(
        default=None, description="One key with every scope, where a key file would be too much."
    )
    oidc_issuer: str | None = Field(
        default=None, description="OpenID provider whose bearer tokens are accepted, as it stands in their `iss`."
    )
    oidc_audience: str | None = Field(default=None, description="What `aud` of a token must hold: this service.")
    oidc_jwks_url: str | None = Field(
        default=None, description="Where the provider's public keys are; unset, its discovery document says."
    )
    oidc_claim: str = Field(
        default="scope", description="Claim that holds a token's scopes, or a path such as `realm_access.roles`."
    )
    oidc_scopes: dict[str, Scope] = Field(
        default={"retina:predict": "predict", "retina:metrics": "metrics", "retina:admin": "admin"},
        description="What each value of that claim allows, as JSON.",
    )
    rate_limit: float = Field(
        default=0.0, ge=0, description="Requests a second of each caller, or address without one; 0 is no limit."
    )
    rate_burst: int = Field(default=20, ge=1, description="Requests that a caller may send at once beyond that rate.")
    cors_origins: str = Field(
        default="",
        pattern=r"^(https?://[A-Za-z0-9.:\[\]-]+(, ?https?://[A-Za-z0-9.:\[\]-]+)*)?$",
        description="Other origins whose pages may ask, with commas between, such as `https://viewer.example`.",
    )
    trusted_proxies: str = Field(
        default="",
        description="Addresses or networks of proxies whose `X-Forwarded-For` and `-Proto` are believed, with commas.",
    )
    provider: Literal["auto", "cpu", "cuda"] = Field(
        default="auto",
        description="Execution provider. `auto` takes CUDA if it works, else the CPU; a forced one that is missing is "
        "an error at start.",
    )
    tf32: bool = Field(
        default=False,
        description="Let a GPU round factors to TF32: about 1.7 times the images a second on an H100, with gates that "
        "differ from the CPU's by up to 0.01. Without it answers agree within 1e-4.",
    )
    threads: int = Field(
        default=0, ge=0, description="CPU threads for inference; 0 takes what affinity and cgroup allow."
    )
    decode_threads: int = Field(default=0, ge=0, description="Threads that decode images; 0 as for `RETINA_THREADS`.")
    max_batch_size: int = Field(default=16, ge=1, description="Most images that run through a model at once.")
    batch_delay_ms: float = Field(
        default=0.0, ge=0, le=1000, description="How long an image may wait for others to fill its batch, in ms."
    )
    queue_size: int = Field(
        default=256, ge=1, description="Most images that wait for one model; beyond it the answer is 503."
    )
    max_requests: int = Field(
        default=64, ge=1, description="Most prediction requests in hand at once; beyond it the answer is 503."
    )
    max_body_bytes: int = Field(default=32 * 2**20, ge=1, description="Largest request body, in bytes.")
    max_pixels: int = Field(default=DEFAULT_MAX_PIXELS, ge=1, description="Most pixels an image may have.")
    max_files: int = Field(default=16, ge=1, description="Most images in one request.")
    body_timeout_s: float = Field(
        default=30.0,
        gt=0,
        description="Longest time that a request's body may take to arrive, or an answer may lie unread, in seconds.",
    )
    request_timeout_s: float = Field(
        default=30.0,
        gt=0,
        description="Longest time from the end of a request's body to its answer, in seconds; beyond it the answer "
        "is 503.",
    )
    drain_seconds: float = Field(
        default=0.0,
        ge=0,
        description="How long to go on serving after SIGTERM while readiness says no, so that load balancers notice, "
        "in seconds.",
    )
    log_format: Literal["text", "json"] = Field(
        default="text", description="`text` for people, `json` for one object a line."
    )
    max_header_bytes: int = Field(default=32768, ge=1024, description="Largest head of a request, in bytes.")
    max_headers: int = Field(default=100, ge=10, description="Most fields in the head of a request.")
    header_timeout_s: float = Field(
        default=10.0, gt=0, description="Longest time that a request's head may take to arrive, in seconds."
    )
    records: Literal["off", "on", "required"] = Field(
        default="off",
        description="Keep a record of each prediction in a database (docs/records.md). When it fails, `on` answers all "
        "the same, and counts and logs what is lost; `required` answers 503, and no answer leaves before its record is "
        "committed.",
    )
    records_url: SecretStr | None = Field(
        default=None,
        description="Where records go, `sqlite:////folder/file.db` or `postgresql://user:password@host/name`; unset, "
        "SQLite in `~/.local/state/retina-srm/records.db`, or under `XDG_STATE_HOME`.",
    )
    records_queue_size: int = Field(
        default=10_000,
        ge=1,
        description="Most records that wait for the database; beyond it they are lost (`on`) or the answer is 503 "
        "(`required`).",
    )
    records_timeout_s: float = Field(
        default=5.0,
        gt=0,
        description="How long an answer may wait for its record's commit, in seconds; then it is 503.",
    )
    records_retention_days: int = Field(
        default=0, ge=0, description="Age in days at which records are deleted, with their feedback; 0 keeps them."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="Least level logged.")

    @model_validator(mode="after")
    def fit_together(self) -> Self:
        """Refuse what would answer 503 for ever: a request that the queue can't hold when it is empty."""
        if self.max_files > self.queue_size:
            raise ValueError(
                f"RETINA_MAX_FILES={self.max_files} is above RETINA_QUEUE_SIZE={self.queue_size}, so the queue could "
                "never take the largest request: lower the first or raise the second"
            )
        return self


def load_settings(**overrides: object) -> Settings:
    """Read the settings from the environment; ``overrides`` that are not None come first.

    Raises:
        SettingsError: for a value that does not fit, or an unknown variable with the prefix, naming the nearest
            known one.
    """
    known = {f"RETINA_{name.upper()}" for name in Settings.model_fields}
    for variable in os.environ:
        if variable.upper().startswith("RETINA_") and variable.upper() not in known:
            near = difflib.get_close_matches(variable.upper(), known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(sorted(known))}"
            raise SettingsError(f"{variable} is not a setting of the service; {hint}")
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        faults = "; ".join(
            f"RETINA_{str(e['loc'][0]).upper()}: {e['msg']} (got {e['input']!r})"
            if e["loc"]
            else str(e["ctx"]["error"])
            for e in error.errors()
        )
        raise SettingsError(faults) from None
