"""OpenTelemetry traces: a span for each stage of a request. FastAPI makes the span of an HTTP request itself.

The standard environment variables decide: there are traces where ``OTEL_EXPORTER_OTLP_ENDPOINT``,
``OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`` or ``OTEL_TRACES_EXPORTER`` is set. Otherwise the SDK is not imported, and a
stage costs one look at a context variable.
"""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import Getter, Setter, TextMapPropagator, default_getter, default_setter

from service import __version__
from service.settings import SettingsError

if TYPE_CHECKING:  # the extra `otel`
    from opentelemetry.sdk.trace.export import SpanExporter

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
PUBLIC = (
    "error.type",
    "http.request.method",
    "http.route",
    "images",
    "network.protocol.name",
    "network.protocol.version",
    "server.port",
    "url.scheme",
)
"""The attributes that no client can write free text into."""
FREE_TEXT = ("tracestate", "baggage")


class Hiding(Getter[Any]):
    """Read the headers that carry a trace, except those with free text of the client."""

    def __init__(self, getter: Getter[Any]) -> None:
        self.getter = getter

    def get(self, carrier: Any, key: str) -> list[str] | None:
        return None if key.lower() in FREE_TEXT else self.getter.get(carrier, key)

    def keys(self, carrier: Any) -> list[str]:
        return [key for key in self.getter.keys(carrier) if key.lower() not in FREE_TEXT]


class IdsAlone(TextMapPropagator):
    """A propagator that takes no free text from a request: it would be exported with each span."""

    def __init__(self, inner: TextMapPropagator) -> None:
        self.inner = inner

    def extract(self, carrier: Any, context: Context | None = None, getter: Getter[Any] = default_getter) -> Context:
        return self.inner.extract(carrier, context, Hiding(getter))

    def inject(self, carrier: Any, context: Context | None = None, setter: Setter[Any] = default_setter) -> None:
        self.inner.inject(carrier, context, setter)

    @property
    def fields(self) -> set[str]:
        return self.inner.fields


def start() -> None:
    """Start tracing, if the environment asks for it.

    Raises:
        SettingsError: if the environment asks for an exporter or protocol that is not offered.
    """
    asked = exporter_name()
    if asked == "none":
        return
    try:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import Span, SpanProcessor, TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise SettingsError(
            "the environment asks for OpenTelemetry traces, but the packages for them are not installed: "
            "pip install 'retina-srm[otel]', or unset OTEL_TRACES_EXPORTER and OTEL_EXPORTER_OTLP_ENDPOINT"
        ) from None

    class Redaction(SpanProcessor):
        """Overwrite what a client may write anything into: its address, host and query. The route template stays."""

        def on_start(self, span: Span, parent_context: object = None) -> None:
            for key in span.attributes or {}:
                if key not in PUBLIC:
                    span.set_attribute(key, "REDACTED")

    named = os.getenv("OTEL_SERVICE_NAME") or "service.name=" in os.getenv("OTEL_RESOURCE_ATTRIBUTES", "")
    name = {} if named else {"service.name": "retina-srm"}
    provider = TracerProvider(resource=Resource.create({"service.version": __version__, **name}))
    provider.add_span_processor(Redaction())
    provider.add_span_processor(BatchSpanProcessor(create_exporter(asked)))
    trace.set_tracer_provider(provider)
    propagate.set_global_textmap(IdsAlone(propagate.get_global_textmap()))


def exporter_name() -> str:
    """Return the exporter that the environment asks for: ``otlp``, ``console`` or ``none``."""
    if os.getenv("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return "none"
    default = "otlp" if any(os.getenv(name) for name in ENDPOINTS) else "none"
    asked = os.getenv("OTEL_TRACES_EXPORTER", "").strip().lower() or default
    if asked not in ("otlp", "console", "none"):
        raise SettingsError(f"OTEL_TRACES_EXPORTER={asked} is not offered: set it to otlp, console or none")
    return asked


def create_exporter(name: str) -> "SpanExporter":
    if name == "console":
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter

        return ConsoleSpanExporter()
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    for variable in PROTOCOLS:
        if (asked := os.getenv(variable) or "http/protobuf") != "http/protobuf":
            raise SettingsError(f"{variable}={asked} is not offered: set it to http/protobuf")
    return OTLPSpanExporter()


@contextmanager
def request(name: str, headers: Mapping[str, str]) -> Iterator[None]:
    """Make the span of a request that FastAPI does not see, in the trace that its headers name."""
    tracer, parent = trace.get_tracer("service"), propagate.extract(headers)
    # The text of an error may quote the request.
    with tracer.start_as_current_span(
        name, parent, trace.SpanKind.SERVER, record_exception=False, set_status_on_exception=False
    ):
        yield


def stage(name: str, start: float, end: float | None = None, **attributes: Any) -> None:
    """Record a stage of the current request, between two times of ``time.perf_counter``. ``end`` is now by default."""
    if not trace.get_current_span().is_recording():
        return
    now, clock = time.time_ns(), time.perf_counter()
    began, ended = (now - round((clock - moment) * 1e9) for moment in (start, clock if end is None else end))
    trace.get_tracer("service").start_span(name, start_time=began, attributes=attributes).end(ended)
