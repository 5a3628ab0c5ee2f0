"""Logs on standard error: text lines for people, or one JSON object per line for log collectors.

What is logged within a request carries its id and, where tracing is on, its trace. No path, query, header, file name or
body is logged, because any of them may contain patient data. Libraries may quote them, so
:mod:`service.observing.words` leaves out the text of whatever the service did not write itself.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import TracebackType
from typing import TextIO

from opentelemetry import trace
from pythonjsonlogger.orjson import OrjsonFormatter

from service.observing import native
from service.observing.words import own_words, place, trace_of
from service.settings import Settings

logger = logging.getLogger(__name__)
WARN_EVERY_S = 60.0
next_warning: dict[tuple[str, int], float] = {}
"""When a place in the code may be logged again."""
ErrorInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


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


class Handler(logging.StreamHandler[TextIO]):
    """Write our own words, and of every other record the place that it came from."""

    def emit(self, record: logging.LogRecord) -> None:
        super().emit(own_words(record))


class TextFormatter(logging.Formatter):
    """Time, level, logger and message; then the id of the request, if there is one."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802, a name of logging
        found = getattr(record, "request_id", None)
        return super().formatMessage(record) + (f" id={found}" if found else "")

    def formatException(self, ei: ErrorInfo) -> str:  # noqa: N802
        return "" if ei[1] is None else trace_of(ei[1])


class JsonFormatter(OrjsonFormatter):
    """One object per line."""

    def formatException(self, ei: ErrorInfo) -> str:  # noqa: N802
        return "" if ei[1] is None else trace_of(ei[1])


def formatter(kind: str) -> logging.Formatter:
    """Return the formatter of ``RETINA_LOG_FORMAT``."""
    if kind == "text":
        return TextFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    return JsonFormatter(
        ["levelname", "name", "message"],
        timestamp=True,
        rename_fields={"levelname": "level", "name": "logger"},
        # a coloured copy of uvicorn's message, and the name of the asyncio task
        reserved_attrs=[*logging.makeLogRecord({}).__dict__, "message", "asctime", "color_message", "taskName"],
    )


def configure(settings: Settings, stream: TextIO) -> None:
    """Send every log of the process, uvicorn's, warnings and errors of threads too, through one handler."""
    handler = Handler(stream)
    handler.addFilter(InRequest())
    handler.setFormatter(formatter(settings.log_format))
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler], force=True)
    warnings.showwarning = warned
    # Otherwise Python remembers the text of each warning, to show it once. Filters of the environment come first.
    warnings.simplefilter("always", append=True)
    threading.excepthook = thread_failed
    sys.unraisablehook = ignored


@contextmanager
def serving(settings: Settings) -> Iterator[None]:
    """Log to standard error until the end of the block, and let nothing else reach it."""
    with os.fdopen(os.dup(native.STDERR), "w", encoding="utf-8", errors="backslashreplace") as real:
        configure(settings, real)
        try:
            with native.caught(real):
                yield
        finally:
            logging.basicConfig(handlers=[logging.NullHandler()], force=True)


def warned(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Log a warning of Python without its text, for each place once in :data:`WARN_EVERY_S`.

    The arguments are those of ``warnings.showwarning``.
    """
    now = time.monotonic()
    if now < next_warning.get((filename, lineno), 0.0):
        return
    next_warning[filename, lineno] = now + WARN_EVERY_S
    logger.warning("%s at %s, text left out", category.__name__, place(filename, lineno))


def thread_failed(failure: threading.ExceptHookArgs) -> None:
    """Log an error that ended a thread."""
    if failure.exc_value is not None and not isinstance(failure.exc_value, SystemExit):
        logger.error("a thread ended by an error", exc_info=failure.exc_value)


def ignored(failure: sys.UnraisableHookArgs) -> None:
    """Log an error that Python can't raise, as in a destructor."""
    logger.error("an error was ignored", exc_info=failure.exc_value)
