"""Every setting of the service: its name, type, default and meaning.

``make docs`` writes ``docs/settings.md`` from this class.
"""

import math
import re
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, PositiveInt, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from models.preprocessing import DEFAULT_MAX_PIXELS
from service.inference.providers import Options, Wanted
from service.security.scopes import Scope
from service.settings.stored import Stored

LINK = r"(tcp|udp|sctp)://"
"""How the address in a service link of Kubernetes begins."""
PREFIX = r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*"
"""A path without a slash at its end, or nothing."""
SHIPPED_REPOSITORY = Path(__file__).parents[2] / "models" / "repository"


class Settings(Stored):
    """Settings with safe defaults; each is the environment variable ``RETINA_<NAME>``."""

    model_config = SettingsConfigDict(env_prefix="RETINA_", env_ignore_empty=True, frozen=True, protected_namespaces=())

    host: str = Field(default="127.0.0.1", description="Address to listen on. The default is this machine alone.")
    port: int = Field(default=8000, ge=0, le=65535, description="Port to listen on. 0 takes any free one.")
    grpc_port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description="Port of the Open Inference Protocol over gRPC (`pip install 'retina-srm[grpc]'`), on the same "
        "address. 0 takes any free one. Unset: no gRPC.",
    )
    workers: PositiveInt | Literal["auto"] = Field(
        default=1,
        description="Processes that serve on the port (docs/scale.md). `auto`: one for each device of "
        "`RETINA_DEVICES`, or for each 4 CPUs.",
    )
    devices: str = Field(
        default="cpu",
        pattern=r"^(cpu|cuda:all|cuda:\d{1,3}( *, *cuda:\d{1,3})*)$",
        description="GPUs that the workers share out among themselves, such as `cuda:0,cuda:1`, or `cuda:all`. With "
        "`cpu`, what `RETINA_PROVIDER` runs on is left to it.",
    )
    tls_certificate: Path | None = Field(
        default=None,
        description="PEM file of the certificate and those that signed it. With `RETINA_TLS_KEY` the service speaks "
        "TLS on every port.",
    )
    tls_key: Path | None = Field(default=None, description="PEM file of the certificate's private key, unencrypted.")
    model_repository: Path = Field(
        default=SHIPPED_REPOSITORY,
        description="Folder of model packages, `<model>/<version>/model.onnx`, or an address such as `s3://bucket/models`.",
    )
    model_cache: Path | None = Field(
        default=None,
        description="Folder for the copy of a repository at an address. Unset: `~/.cache/retina-srm/models`, or under "
        "`XDG_CACHE_HOME`.",
    )
    repository_poll_seconds: float = Field(
        default=0.0,
        ge=0,
        description="Seconds between two scans of the repository for new packages. 0: no scan after the start.",
    )
    served_versions: int = Field(
        default=0, ge=0, description="Serve this many of the newest versions of each model. 0: all."
    )
    published_host: str | None = Field(
        default=None,
        description="Address at which callers reach the service, if it is not `RETINA_HOST`: for example the "
        "address that a container is published on.",
    )
    auth: Literal["auto", "required", "none"] = Field(
        default="auto",
        description="Whether callers need a key or token. `auto`: yes if there is a key file or an issuer; "
        "otherwise no on loopback, and on any other address the service does not start. `none`: anybody may predict.",
    )
    keys_file: Path | None = Field(
        default=None,
        description="File of API keys, written by `python -m service keys`. It is read again when it changes.",
    )
    admin_key: SecretStr | None = Field(
        default=None, description="A single key with every scope, if you need no key file."
    )
    oidc_issuer: str | None = Field(
        default=None, description="OpenID provider whose bearer tokens are accepted: the value of their claim `iss`."
    )
    oidc_audience: str | None = Field(
        default=None, description="Value that the claim `aud` of a token must contain: the name of this service."
    )
    oidc_jwks_url: str | None = Field(
        default=None, description="URL of the public keys of the provider. Unset: taken from its discovery document."
    )
    oidc_claim: str = Field(
        default="scope", description="Claim that holds the scopes of a token, or a path such as `realm_access.roles`."
    )
    oidc_scopes: dict[str, Scope] = Field(
        default={"retina:predict": "predict", "retina:metrics": "metrics", "retina:admin": "admin"},
        description="The scope that each value of that claim gives, as JSON.",
    )
    rate_limit: float = Field(
        default=0.0,
        ge=0,
        description="Requests per second for each caller, over all workers; without authentication, for each address. "
        "0: no limit.",
    )
    rate_burst: int = Field(default=20, ge=1, description="Requests that a caller may send at once above that rate.")
    cors_origins: str = Field(
        default="",
        pattern=r"^(https?://[A-Za-z0-9.:\[\]-]+(, ?https?://[A-Za-z0-9.:\[\]-]+)*)?$",
        description="Other origins whose web pages may call the service, separated by commas, such as `https://viewer.example`.",
    )
    trusted_proxies: str = Field(
        default="",
        description="Addresses or networks of proxies whose `X-Forwarded-For`, `X-Forwarded-Proto` and "
        "`X-Forwarded-Prefix` are trusted, separated by commas.",
    )
    root_path: str = Field(
        default="",
        pattern=f"^{PREFIX}$",
        description="Prefix under which a reverse proxy offers the service, such as `/retina`, without a slash at its "
        "end.",
    )
    provider: Wanted = Field(
        default="auto",
        description="Execution provider: `cpu`, `cuda`, `tensorrt`, `openvino`, or several in fall-back order, such as "
        "`cuda,cpu`. If none of them runs the model, it is an error at start. `auto`: CUDA if it works, otherwise the "
        "CPU.",
    )
    provider_options: Options = Field(
        default={},
        description="Options of the providers as ONNX Runtime documents them, as JSON, such as "
        '`{"openvino": {"device_type": "GPU"}}`. They come before other settings.',
    )
    style_shift: Literal["report", "abstain"] = Field(
        default="report",
        description="What to do with an image whose style is `unlike` training: `report` says so beside the label; "
        "`abstain` answers without label and probabilities. The Open Inference Protocol's tensors stay as they are.",
    )
    out_of_scope: Literal["report", "refuse"] = Field(
        default="report",
        description="What to do with a DICOM file of another kind of image than the model is for: `report` says so "
        "beside the label; `refuse` answers 422. There is no structured report of it in either case.",
    )
    tf32: bool = Field(
        default=False,
        description="Let a GPU round factors to TF32: about 1.7 times the images a second on an H100, with gates that "
        "differ from the CPU's by up to 0.01. Without it answers agree within 1e-4.",
    )
    threads: int = Field(
        default=0,
        ge=0,
        description="CPU threads for inference. 0: as many CPUs as the affinity mask and the cgroup allow.",
    )
    streams: int = Field(
        default=0,
        ge=0,
        description="Most runs of a model at once on the CPU, of a thread each, while that many images wait. 1: one "
        "run at a time, on all threads. 0: what `python -m service tune` measured, or else as many as threads.",
    )
    decode_threads: int = Field(default=0, ge=0, description="Threads that decode images. 0: as for `RETINA_THREADS`.")
    max_batch_size: int = Field(default=16, ge=1, description="Largest number of images in one batch.")
    batch_delay_ms: float = Field(
        default=0.0, ge=0, le=1000, description="Longest time that an image waits for its batch to fill, in ms."
    )
    queue_size: int = Field(
        default=256,
        ge=1,
        description="Most images that may wait for one model. Above it the answer is 503. It is divided among the "
        "workers.",
    )
    max_requests: int = Field(
        default=64,
        ge=1,
        description="Most prediction requests in flight at once, over all workers. Above it the answer is 503.",
    )
    caller_share: float = Field(
        default=0.75,
        gt=0,
        le=1,
        description="Largest part of `RETINA_MAX_REQUESTS`, `RETINA_QUEUE_SIZE` and `RETINA_MAX_UPLOAD_BYTES` that one "
        "caller may hold: of the first over all workers, of the others in each. 1: all.",
    )
    max_body_bytes: int = Field(default=32 * 2**20, ge=1, description="Largest request body, in bytes.")
    max_upload_bytes: int = Field(
        default=512 * 2**20,
        ge=1,
        description="Most bytes of request bodies in memory, over all callers. Above it the answer is 503. It is "
        "divided among the workers.",
    )
    max_uploads_per_caller: int = Field(
        default=16,
        ge=1,
        description="Most request bodies that arrive from one caller at once, in each worker. Others of it wait.",
    )
    min_body_rate: int = Field(
        default=4096,
        ge=0,
        description="Least bytes per second of a request body, after 5 seconds. Below it the answer is 408. 0: any.",
    )
    max_pixels: int = Field(default=DEFAULT_MAX_PIXELS, ge=1, description="Most pixels in one image.")
    max_decode_bytes: int = Field(
        default=2**30,
        ge=1,
        description="Most bytes of pixels that large images in decoding may hold together, by their headers. Others "
        "wait. It is divided among the workers.",
    )
    max_files: int = Field(default=16, ge=1, description="Most images in one request.")
    body_timeout_s: float = Field(
        default=30.0,
        gt=0,
        description="Longest time for a request body to arrive, or for a client to read its answer, in seconds.",
    )
    request_timeout_s: float = Field(
        default=30.0,
        gt=0,
        description="Longest time from the end of the request body to the answer, in seconds. After it the answer "
        "is 503.",
    )
    drain_seconds: float = Field(
        default=0.0,
        ge=0,
        description="Seconds to keep serving after SIGTERM while the readiness check fails, so that load balancers "
        "notice.",
    )
    log_format: Literal["text", "json"] = Field(
        default="text", description="`text` for people, `json` for one object per line."
    )
    max_header_bytes: int = Field(
        default=32768, ge=1024, description="Largest request head (request line and headers), in bytes."
    )
    max_headers: int = Field(default=100, ge=10, description="Most header fields in a request.")
    header_timeout_s: float = Field(
        default=10.0, gt=0, description="Longest time for a request head to arrive, in seconds."
    )
    records: Literal["off", "on", "required"] = Field(
        default="off",
        description="Keep a record of each prediction in a database (docs/records.md). If the database fails, `on` "
        "still "
        "answers, and counts and logs the lost records; `required` answers 503. With `required` no answer is sent "
        "before its record is committed.",
    )
    records_url: SecretStr | None = Field(
        default=None,
        description="Database of the records: `sqlite:////folder/file.db` or `postgresql://user:password@host/name`. "
        "Unset: SQLite in `~/.local/state/retina-srm/records.db`, or under `XDG_STATE_HOME`.",
    )
    records_queue_size: int = Field(
        default=10_000,
        ge=1,
        description="Most records of a worker that may wait for the database. Above it records are lost (`on`) or "
        "the answer is 503 (`required`).",
    )
    records_timeout_s: float = Field(
        default=5.0,
        gt=0,
        description="Longest time that an answer waits for the commit of its record, in seconds. After it the "
        "answer is 503.",
    )
    records_retention_days: int = Field(
        default=0, ge=0, description="Age in days at which records and their feedback are deleted. 0: never."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Lowest level that is logged."
    )

    @model_validator(mode="before")
    @classmethod
    def without_service_link(cls, content: dict[str, object]) -> dict[str, object]:
        """Pass over a port that Kubernetes sets for a Service called ``retina`` or ``retina-grpc``."""
        links = [name for name in ("port", "grpc_port") if re.match(LINK, str(content.get(name, "")))]
        return {name: value for name, value in content.items() if name not in links}

    @model_validator(mode="after")
    def fit_together(self) -> Self:
        """Refuse half a key pair, and limits under which the largest allowed request would not fit into any queue."""
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("RETINA_TLS_CERTIFICATE and RETINA_TLS_KEY belong together: set both or neither")
        if self.max_files > self.queue_size:
            raise ValueError(
                f"RETINA_MAX_FILES={self.max_files} is above RETINA_QUEUE_SIZE={self.queue_size}, so the largest "
                "allowed request would never fit into the queue: lower the first or raise the second"
            )
        if self.max_files > math.ceil(self.queue_size * self.caller_share):
            raise ValueError(
                f"RETINA_MAX_FILES={self.max_files} is above RETINA_CALLER_SHARE={self.caller_share:g} of "
                f"RETINA_QUEUE_SIZE={self.queue_size}, so no caller could send the largest allowed request: raise one "
                "of the last two, or lower the first"
            )
        return self
