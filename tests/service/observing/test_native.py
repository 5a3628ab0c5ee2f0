"""What C code and children write to standard error, in a process of its own: counted, never shown, never blocking."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
START = """
import ctypes, logging, os, subprocess, sys, time
from service.observing import native
from service.observing.logs import serving
from service.settings import Settings
log = logging.getLogger("service.test")
"""


def run(body: str, timeout_s: float = 30) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", START + body], cwd=ROOT, capture_output=True, text=True, check=False, timeout=timeout_s
    )


def test_lines_are_counted_and_not_shown() -> None:
    done = run("""
with serving(Settings()):
    log.info("before")
    os.write(2, b"SECRET\\n" * 3)
    print("SECRET", file=sys.stderr)
    subprocess.run(["sh", "-c", "echo SECRET >&2"])
    log.info("after")
print("at the end", file=sys.stderr)
""")
    assert "SECRET" not in done.stderr
    assert "5 lines from a native library" in done.stderr
    assert [word in done.stderr for word in ("before", "after", "at the end")] == [True] * 3
    assert done.returncode == 0


def test_a_library_that_holds_the_lock_never_waits_for_the_reader() -> None:
    """``PyDLL`` keeps the lock of Python, so the thread can't read meanwhile: 1 MB is more than any pipe holds."""
    done = run("""
with serving(Settings()):
    write = ctypes.PyDLL(None).write
    line = b"SECRET" * 100 + b"\\n"
    for _ in range(2000):
        write(2, line, len(line))
    sys.stderr.write("SECRET " * 100_000)
print("done")
""")
    assert done.stdout == "done\n"
    assert "SECRET" not in done.stderr


def test_one_message_for_many_lines() -> None:
    done = run("""
native.SETTLE_S, native.LOG_EVERY_S = 0.05, 60
with serving(Settings(log_format="json")):
    for _ in range(20):
        os.write(2, b"SECRET\\n")
        time.sleep(0.02)
""")
    assert 1 <= done.stderr.count("from a native library") <= 2
    assert all(line.startswith("{") for line in done.stderr.splitlines())


def test_a_fatal_error_is_seen() -> None:
    done = run("""
with serving(Settings()):
    ctypes.string_at(0)
""")
    assert "Segmentation fault" in done.stderr
    done = run("""
with serving(Settings()):
    os.write(2, b"SECRET\\n")
    raise RuntimeError("of the set-up")
""")
    assert "RuntimeError: of the set-up" in done.stderr
    assert "SECRET" not in done.stderr


def test_a_child_that_stays_does_not_hold_the_end() -> None:
    done = run(
        """
native.JOIN_S = 0.2
with serving(Settings()):
    subprocess.Popen(["sleep", "5"], stdout=subprocess.DEVNULL)
print("done")
""",
        timeout_s=20,
    )
    assert done.stdout == "done\n"


def test_forks_write_to_the_same_places() -> None:
    done = run("""
with serving(Settings()):
    if (child := os.fork()) == 0:
        os.write(2, b"SECRET\\n")
        log.info("of the child")
        os._exit(0)
    os.waitpid(child, 0)
""")
    assert "of the child" in done.stderr
    assert "1 line from a native library" in done.stderr
    assert "SECRET" not in done.stderr


def test_an_error_that_ends_the_service_is_logged_without_its_text() -> None:
    done = run("""
import service.app, service.server
from service.__main__ import main

def fail(*_):
    raise ValueError("SECRET")

service.app.create_app, service.server.run, sys.argv = lambda _: None, fail, ["service"]
main()
""")
    assert done.returncode == 1
    assert "CRITICAL service: the service ended by an error" in done.stderr
    assert "ValueError" in done.stderr
    assert 'raise ValueError("SECRET")' not in done.stderr  # the code comes from the command line, so it has no lines
    assert "SECRET" not in done.stderr
