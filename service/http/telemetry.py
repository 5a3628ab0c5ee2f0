"""A span for each request, from FastAPI's own instrumentation."""

from fastapi.telemetry import TelemetryConfig
from starlette.types import Scope

PROBES = ("/v2/health/", "/metrics")


def is_probe(scope: Scope) -> bool:
    return str(scope.get("path", "")).startswith(PROBES)


TELEMETRY = TelemetryConfig(
    metrics=False,  # Prometheus has them
    logs=False,  # they would hold messages and values that came from clients
    operation_spans=False,
    auto_configure=False,
    exclude=is_probe,
)
"""FastAPI's settings: a span for each request but probes, in the trace that its W3C ``traceparent`` header names."""
