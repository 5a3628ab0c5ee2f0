"""Waiting for what happens in another thread or process."""

import time
from collections.abc import Callable


def until(happened: Callable[[], object], limit_s: float = 30, what: Callable[[], object] = lambda: "it") -> None:
    """Return once it has happened; fail with ``what`` after a limit."""
    end = time.monotonic() + limit_s
    while not happened():
        assert time.monotonic() < end, f"not within {limit_s:g} s: {what()}"
        time.sleep(0.02)
