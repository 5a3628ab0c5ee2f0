"""A span for each request, from the instrumentation of FastAPI."""

from fastapi.telemetry import TelemetryConfig
from starlette.types import Scope

from service.http.root_path import path_of

PROBES = ("/v2/health/", "/metrics")


def is_probe(scope: Scope) -> bool:
    return path_of(scope).startswith(PROBES)


TELEMETRY = TelemetryConfig(
    metrics=False,  # Prometheus has these metrics
    logs=False,  # error texts would contain values from clients
    operation_spans=False,
    auto_configure=False,
    exclude=is_probe,
)
"""Settings of FastAPI: a span for each request except probes, in the trace of its W3C ``traceparent`` header."""
