"""What the log writes of foreign records, warnings and errors, in both formats; and that nobody can forge a line."""

import io
import json
import logging
import sys
import threading
import warnings
from collections.abc import Iterator

import pytest

from service.observing import logs
from service.observing.logs import configure
from service.records.errors import UnavailableError
from service.settings import Settings

SECRET = "ZQXJ^Johanna"


@pytest.fixture(params=["text", "json"])
def written(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    """What the log of the service writes, with the process's settings put back afterwards."""
    root, stream = logging.getLogger(), io.StringIO()
    handlers, level, hooks = root.handlers[:], root.level, (threading.excepthook, sys.unraisablehook)
    for handler in handlers:
        root.removeHandler(handler)
    with warnings.catch_warnings():
        configure(Settings(log_format=request.param, log_level="debug"), stream)
        yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    threading.excepthook, sys.unraisablehook = hooks


def warn(message: str, *args: object, **extra: object) -> None:
    """Log by our handler alone: half a surrogate can't go from pytest's own to the process that reports."""
    [ours] = [handler for handler in logging.getLogger().handlers if isinstance(handler, logs.Handler)]
    record = logging.getLogger("service.test").makeRecord(
        "service.test", logging.WARNING, __file__, 1, message, args, None, extra=extra
    )
    ours.handle(record)


def fail() -> None:
    try:
        raise ValueError(SECRET)
    except ValueError as error:
        error.add_note(SECRET)
        raise KeyError(SECRET) from error


def test_of_a_foreign_record_the_place_is_kept(written: io.StringIO) -> None:
    logger = logging.getLogger("highdicom.sr.sop")
    try:
        fail()
    except KeyError:
        logger.exception("of %s", SECRET, extra={"patient": SECRET}, stack_info=True)
    text = written.getvalue()
    assert SECRET not in text
    assert "highdicom.sr.sop" in text
    assert "ERROR" in text
    assert "observing.test_words:" in text
    for word in ("ValueError", "KeyError", "in fail", "direct cause"):
        assert word in text, word


def test_of_a_warning_the_class_and_place_are_kept_once(written: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "next_warning", {})
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = logs.warned
        for number in range(3):
            warnings.warn(f"{SECRET} {number}", UserWarning, stacklevel=1)
    assert SECRET not in written.getvalue()
    assert written.getvalue().count("UserWarning at observing.test_words:") == 1


def test_of_our_own_errors_foreign_causes_have_no_text(written: io.StringIO) -> None:
    try:
        try:
            raise ExceptionGroup("of several", [OSError(SECRET)])
        except ExceptionGroup as group:
            raise UnavailableError("the disk is full") from group
    except UnavailableError:
        logging.getLogger("service.records.recorder").exception("failed")
    text = written.getvalue()
    assert SECRET not in text
    assert "UnavailableError: the disk is full" in text
    assert "OSError" in text


def test_an_error_of_a_thread_is_logged_without_its_text(written: io.StringIO) -> None:
    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    assert SECRET not in written.getvalue()
    assert "a thread ended by an error" in written.getvalue()


def test_nobody_forges_a_line(written: io.StringIO) -> None:
    forged = "a\r\nb\x1b[31mc\x9bd\u2028e\u2029f\x85g\x00h\u202ei\ud800j"
    warn("from %s", forged)
    line = written.getvalue()
    assert line.count("\n") == 1
    assert not set(forged) & set(line[:-1]) - set("abcdefghij[31m")
    for escape in ("0a", "1b", "9b", "u2028", "u202e", "ud800"):
        assert escape in line


def test_the_server_s_own_messages_are_whole(written: io.StringIO) -> None:
    import uvicorn.server

    record = ("uvicorn.error", logging.INFO, uvicorn.server.__file__, 1, "Started server process [%d]", (7,), None)
    logging.getLogger("uvicorn.error").handle(logging.LogRecord(*record))
    assert "Started server process [7]" in written.getvalue()


def test_json_stays_json(written: io.StringIO) -> None:
    warn("\ud800 \u2028", status=200)
    if written.getvalue().startswith("{"):
        assert json.loads(written.getvalue())["status"] == 200
