"""Processes that start fast, and seats on one folder."""

import multiprocessing
from collections.abc import Callable
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest

from service.workers.seat import Seat


@pytest.fixture(scope="session")
def processes() -> ForkServerContext:
    """They come from a server that has imported what they do, not from the process of the tests."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.service.workers.hammering"])
    return context


@pytest.fixture
def seat(tmp_path: Path) -> Callable[[int], Seat]:
    """Seats of a service with four workers."""
    shared = tmp_path / "shared"
    shared.mkdir()
    return lambda index: Seat(index, 4, shared)
