"""The service as an application of Ray Serve: ``serve run service.ray:build``.

Each replica is the same FastAPI application. Ray takes the connections, shares the requests out, and starts and stops
replicas. Settings come from ``RETINA_`` variables or from the arguments.
"""

import sys
from typing import Any

import ray
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveFloat, PositiveInt
from ray import serve
from ray.serve import Application, Deployment
from starlette.types import ASGIApp

from service.app import create_app
from service.observing.logs import configure
from service.security.proxy import BehindProxy
from service.settings import load_settings
from service.settings.times import longest_request_s

LISTENS = {"host": "0.0.0.0", "grpc_port": None, "tls_certificate": None, "tls_key": None}
"""Ray listens, and not on loopback alone: so the service asks for keys, an issuer or RETINA_AUTH=none."""


class Arguments(BaseModel):
    """What ``serve run service.ray:build name=value`` and ``args`` of a Serve configuration can say."""

    model_config = ConfigDict(extra="forbid")

    min_replicas: PositiveInt = 1
    max_replicas: PositiveInt = 1
    target_ongoing_requests: PositiveFloat = Field(
        default=4, description="Requests in flight or waiting for each replica, above which there will be more of them."
    )
    num_cpus: PositiveFloat = 1
    num_gpus: NonNegativeFloat = 0
    settings: dict[str, Any] = Field(
        default={}, description="Settings by their names in lower case, before those of the environment."
    )


def build(args: Arguments) -> Application:
    """Make the application.

    Raises:
        SettingsError: as of :func:`service.settings.load_settings`.
    """
    settings = load_settings(**args.settings).model_copy(update=LISTENS)

    def application() -> ASGIApp:
        """In the process of a replica."""
        configure(settings, sys.stderr)
        assigned: dict[str, float] = ray.get_runtime_context().get_assigned_resources()  # type: ignore[no-untyped-call]
        cpus = max(1, int(assigned.get("CPU", 1)))
        own = settings.model_copy(
            update={"threads": settings.threads or cpus, "decode_threads": settings.decode_threads or cpus}
        )
        return BehindProxy(create_app(own), own)

    deployment: Deployment = serve.deployment(  # type: ignore[assignment]  # the type of its use as a decorator
        serve.ingress(application)(),
        name="retina-srm",
        ray_actor_options={"num_cpus": args.num_cpus, "num_gpus": args.num_gpus},
        autoscaling_config={
            "min_replicas": args.min_replicas,
            "max_replicas": args.max_replicas,
            "target_ongoing_requests": args.target_ongoing_requests,
        },
        max_ongoing_requests=settings.max_requests,
        graceful_shutdown_timeout_s=longest_request_s(settings) + 1,
    )
    return deployment.bind()
