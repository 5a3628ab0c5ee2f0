"""The id, the log line and the metrics of every request."""

import logging
import re
import time
import uuid

from opentelemetry import trace
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.http.problems import CLIENT_GONE
from service.http.root_path import root_of
from service.observing.logs import Facts, current
from service.state import State

logger = logging.getLogger(__name__)
REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
PROBES = ("/v2/health/live", "/v2/health/ready", "/metrics")
MODEL_ROUTES = ("/predict", "/infer", "/preview", "/channels/{block}/{channel}")
METHODS = ("GET", "POST", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE")


class RequestLog:
    """Give each request an id (the id of the client, if it is valid) and send it back.

    Count, time and log the request.
    """

    def __init__(self, app: ASGIApp, state: State) -> None:
        self.app = app
        self.state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, seconds, status = time.perf_counter(), None, 500
        sent = dict(scope["headers"]).get(b"x-request-id", b"")
        identity = sent if REQUEST_ID.fullmatch(sent) else uuid.uuid4().hex.encode()
        scope.setdefault("state", {})["request_id"] = identity.decode()
        facts = Facts(identity.decode())
        current.set(facts)

        async def send_with_id(message: Message) -> None:
            nonlocal seconds, status
            if message["type"] == "http.response.start":
                # A client that reads slowly does not count as a slow answer.
                seconds, status = time.perf_counter() - start, message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", identity), *trace_headers()]
            await send(message)

        try:
            await self.app(scope, receive, send_with_id)
        finally:
            self.done(scope, facts, status, time.perf_counter() - start if seconds is None else seconds)

    def done(self, scope: Scope, facts: Facts, status: int, seconds: float) -> None:
        path = route(scope)
        if path.endswith(MODEL_ROUTES):
            count(self.state, facts, scope.get("path_params", {}).get("model"), status, seconds)
        write(facts, method_of(scope), path, status, seconds, level=logging.DEBUG if path in PROBES else logging.INFO)


def count(state: State, facts: Facts, asked: str | None, status: int, seconds: float) -> None:
    """Count and time a request that needs a model. ``asked`` is the name of the model that the client sent."""
    name = facts.model or asked
    label = name if name is not None and (facts.model or name in state.repository.models) else "unknown"
    state.metrics.requests.labels(label, outcome(status)).inc()
    state.metrics.request_seconds.labels(label).observe(seconds)


def write(facts: Facts, method: str, path: str, status: int, seconds: float, *, level: int = logging.INFO) -> None:
    """Log a request: its method, route template and status, and what is known of it."""
    if not logger.isEnabledFor(level):
        return
    shown = {"model": facts.model, "version": facts.version, "images": facts.images}
    known = {key: value for key, value in shown.items() if value is not None}
    text = " ".join(f"{key}={value}" for key, value in known.items())
    logger.log(
        level,
        f"{method} {path} {status} in {1000 * seconds:.1f} ms {text}".rstrip(),
        extra={
            "method": method,
            "route": path,
            "status": status,
            "outcome": outcome(status),
            "duration_seconds": round(seconds, 6),
            **known,
        },
    )


def route(scope: Scope) -> str:
    """Return the route template of a request. The path itself may contain patient data, so it is not used."""
    path = getattr(scope.get("route"), "path", None)
    if path is not None:
        return str(path)
    folder = str(scope.get("root_path", "")).removeprefix(root_of(scope))
    return f"{folder}/*" if folder else "(unmatched)"


def method_of(scope: Scope) -> str:
    """Return the method of a request, or ``OTHER`` for a word that is none."""
    return str(scope["method"]) if scope["method"] in METHODS else "OTHER"


def shown(scope: Scope) -> str:
    """Return the method and route template of a request, for the log."""
    return f"{method_of(scope)} {route(scope)}"


def outcome(status: int) -> str:
    """Return the outcome of a request, as ``retina_requests_total`` names it."""
    if status == CLIENT_GONE:
        return "disconnected"
    if status == 503:
        return "rejected"
    return "ok" if status < 400 else "client_error" if status < 500 else "error"


def trace_headers() -> list[tuple[bytes, bytes]]:
    """Return the trace of a request in the form of W3C Trace Context level 2."""
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return []
    trace_id, span_id = trace.format_trace_id(context.trace_id), trace.format_span_id(context.span_id)
    return [(b"traceresponse", f"00-{trace_id}-{span_id}-{context.trace_flags:02x}".encode())]
