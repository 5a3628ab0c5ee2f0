"""Every setting of the service, from environment variables that begin with ``RETINA_``."""

import difflib
import os
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from models.preprocessing import DEFAULT_MAX_PIXELS

SHIPPED_REPOSITORY = Path(__file__).parent.parent / "models" / "repository"


class SettingsError(ValueError):
    """A setting that can't be used; the text names it and says what it may be."""


class Settings(BaseSettings):
    """Settings with safe defaults; each is the environment variable ``RETINA_<NAME>``."""

    model_config = SettingsConfigDict(env_prefix="RETINA_", frozen=True, protected_namespaces=())

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
    admin_key: SecretStr | None = Field(
        default=None,
        description="Key for the repository's index, load and unload calls (`Authorization: Bearer KEY`); unset, they "
        "answer 403.",
    )
    provider: Literal["auto", "cpu", "cuda"] = Field(
        default="auto",
        description="Execution provider. `auto` takes CUDA if it works, else the CPU; a forced one that is missing is "
        "an error at start.",
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
        default=30.0, gt=0, description="Longest time that a request's body may take to arrive, in seconds."
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
            f"RETINA_{str(e['loc'][0]).upper()}: {e['msg']} (got {e['input']!r})" for e in error.errors()
        )
        raise SettingsError(faults) from None
