"""What may be written to the log: our own words, and of everybody else's only where they came from.

A library's message, warning or exception may quote what a client sent, such as the name of a patient. So of a foreign
log record its level, logger and place are kept, of a foreign exception its class and frames, and no text.
"""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import Iterator
from pathlib import PurePath

OURS = ("service", "models")
LIFECYCLE = ("uvicorn/server.py", "uvicorn/lifespan/on.py")
"""The start and the end of the server. No request reaches these files."""
OF_OPERATORS = ("models.package", "service.records.errors", "service.security.key_file", "service.settings.loading")
"""Modules of our errors about packages, settings and the database. Their texts hold nothing of a request."""
KEPT = ("request_id", "trace_id", "span_id")
# Control characters, the line and paragraph separators, the signs that reverse the direction of text, lone surrogates.
UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
NAME = re.compile(r"[\w.<>-]{1,200}")


def printable(text: str) -> str:
    """Write characters that forge a line or steer a terminal as escapes, such as ``\\x0a``."""
    return UNPRINTABLE.sub(lambda found: f"\\x{ord(found[0]):02x}" if found[0] < "Ā" else ascii(found[0])[1:-1], text)


def own_words(record: logging.LogRecord) -> logging.LogRecord:
    """Return a copy of a log record that may be written. The record itself stays, for other handlers."""
    if is_ours(record):
        copy = logging.makeLogRecord(record.__dict__)
        copy.msg = printable(record.getMessage())
    else:
        text = f"{place(record.pathname, record.lineno)}, text left out"
        name = record.name if NAME.fullmatch(record.name) else "unnamed"
        copy = logging.LogRecord(name, record.levelno, record.pathname, record.lineno, text, None, record.exc_info)
        copy.created, copy.msecs, copy.thread, copy.process = (
            record.created,
            record.msecs,
            record.thread,
            record.process,
        )
        copy.__dict__.update((key, value) for key, value in record.__dict__.items() if key in KEPT)
    copy.args, copy.exc_text, copy.stack_info = None, None, None
    return copy


def is_ours(record: logging.LogRecord) -> bool:
    if record.name.partition(".")[0] in OURS:
        return True
    return record.name.startswith("uvicorn") and PurePath(record.pathname).as_posix().endswith(LIFECYCLE)


def place(file: str, line: int) -> str:
    """Where code is, as ``package.module:line``."""
    parts = PurePath(file).with_suffix("").parts
    start = max((index + 1 for index, part in enumerate(parts) if part == "site-packages"), default=len(parts) - 2)
    return printable(f"{'.'.join(parts[max(start, 0) :])}:{line}")


def trace_of(error: BaseException) -> str:
    """Return a traceback with the frames and classes of an error and its causes, and only our operators' texts."""
    return "\n".join(trace_lines(error, set()))


def trace_lines(error: BaseException, seen: set[int]) -> Iterator[str]:
    seen.add(id(error))
    cause, context = error.__cause__, None if error.__suppress_context__ else error.__context__
    if cause is not None and id(cause) not in seen:
        yield from trace_lines(cause, seen)
        yield "The above exception was the direct cause of the following exception:"
    elif context is not None and id(context) not in seen:
        yield from trace_lines(context, seen)
        yield "During handling of the above exception, another exception occurred:"
    yield "Traceback (most recent call last):"
    for frame in traceback.extract_tb(error.__traceback__):
        yield f'  File "{printable(frame.filename)}", line {frame.lineno}, in {printable(frame.name)}'
        if frame.line:
            yield f"    {printable(frame.line)}"
    yield described(error)
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            if id(part) not in seen:
                yield from (f"  | {line}" for line in trace_lines(part, seen))


def described(error: BaseException) -> str:
    """The class of an error, with its text if it is ours and about the set-up."""
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    shown = name if NAME.fullmatch(name) else "an exception"
    return f"{shown}: {printable(str(error))}" if kind.__module__ in OF_OPERATORS else shown
