"""Logs on standard error: text lines for people, or one JSON object per line for log collectors.

What is logged within a request carries its id and, where tracing is on, its trace. Nothing here or in
:mod:`service.http.request_log` logs a path, a query, a header, a file name or a body, because any of them may contain
patient data.
"""

from __future__ import annotations

import logging
from contextvars import ContextVar
from dataclasses import dataclass

from opentelemetry import trace
from pythonjsonlogger.orjson import OrjsonFormatter

from service.settings import Settings


@dataclass
class Facts:
    """What is known of a request."""

    id: str
    model: str | None = None
    version: str | None = None
    images: int | None = None


current: ContextVar[Facts | None] = ContextVar("current", default=None)
"""The request that is being answered, set by :class:`service.http.request_log.RequestLog`."""


def note(*, model: str | None = None, version: str | None = None, images: int | None = None) -> None:
    """Add facts about the current request to its log line and metrics. Outside a request, do nothing."""
    if (facts := current.get()) is None:
        return
    if model is not None:
        facts.model, facts.version = model, version
    if images is not None:
        facts.images = images


class InRequest(logging.Filter):
    """Add the id of the request, and its trace and span in the form of OpenTelemetry, to each log record."""

    def filter(self, record: logging.LogRecord) -> bool:
        if (facts := current.get()) is not None:
            record.request_id = facts.id
        context = trace.get_current_span().get_span_context()
        if context.is_valid:
            record.trace_id = trace.format_trace_id(context.trace_id)
            record.span_id = trace.format_span_id(context.span_id)
        return True


class TextFormatter(logging.Formatter):
    """Time, level, logger and message; then the id of the request, if there is one."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802, a name of logging
        found = getattr(record, "request_id", None)
        return super().formatMessage(record) + (f" id={found}" if found else "")


def formatter(kind: str) -> logging.Formatter:
    """Return the formatter of ``RETINA_LOG_FORMAT``."""
    if kind == "text":
        return TextFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    return OrjsonFormatter(
        ["levelname", "name", "message"],
        timestamp=True,
        rename_fields={"levelname": "level", "name": "logger"},
        # a coloured copy of uvicorn's message, and the name of the asyncio task
        reserved_attrs=[*logging.makeLogRecord({}).__dict__, "message", "asctime", "color_message", "taskName"],
    )


def configure(settings: Settings) -> None:
    """Send every log of the process, uvicorn's and warnings too, through one handler."""
    handler = logging.StreamHandler()
    handler.addFilter(InRequest())
    handler.setFormatter(formatter(settings.log_format))
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(True)
