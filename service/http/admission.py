"""Admission of every prediction request: find the model, refuse overload, stop at the deadline."""

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager
from http import HTTPStatus

from fastapi import Request
from starlette.requests import ClientDisconnect

from service.http.problems import ProblemError, translated
from service.inference.runtime import Model
from service.observing.logs import note
from service.settings import Settings
from service.state import State

EXPECTED = "X-Envoy-Expected-Rq-Timeout-Ms"
WATCH_AFTER_S = 0.01
"""A request that is answered sooner never checks whether its client has disconnected."""


@contextmanager
def admitted(state: State, name: str, version: str | None) -> Iterator[Model]:
    """Find the model for one request, and keep it loaded from before the body is read until the answer is written.

    Raises:
        ProblemError: 404 for an unknown model.
    """
    with refusals_counted(state), in_use(state, name, version) as model:
        yield model


@contextmanager
def in_use(state: State, name: str, version: str | None) -> Iterator[Model]:
    """Find the model for one request, and keep it loaded until the answer is written.

    Raises:
        ProblemError: 404 for an unknown model.
    """
    start = time.perf_counter()
    with reserved(state, name, version) as model:
        statistics, ok = state.predictor.of(model).metrics.statistics, False
        try:
            yield model
            ok = True
        finally:
            (statistics.success if ok else statistics.fail).add(time.perf_counter() - start)


@contextmanager
def reserved(state: State, name: str, version: str | None) -> Iterator[Model]:
    """Find the model for a request that its statistics do not count, and keep it loaded until the answer is written.

    Raises:
        ProblemError: 404 for an unknown model.
    """
    model = find_model(state, name, version)
    note(model=model.name, version=model.version)
    with state.predictor.using(model):
        yield model


@contextmanager
def refusals_counted(state: State) -> Iterator[None]:
    """Count a request that is refused for lack of room or time."""
    try:
        yield
    except ProblemError as problem:
        if problem.status == HTTPStatus.SERVICE_UNAVAILABLE:
            state.metrics.rejected.labels(problem.code).inc()
        raise


def find_model(state: State, name: str, version: str | None) -> Model:
    """Return a served model, or answer 404 with the names of the served models."""
    with translated():
        return state.repository.get(name, version)


@contextmanager
def place(state: State, caller: str) -> Iterator[None]:
    """Hold a place for a request whose body has arrived, until its answer is written.

    Raises:
        ProblemError: 503, as :meth:`service.http.in_flight.InFlight.enter`.
    """
    state.requests.enter(caller)
    state.metrics.in_flight.inc()
    try:
        yield
    finally:
        state.requests.leave(caller)
        state.metrics.in_flight.dec()


class Deadline:
    """When the answer to a request is no longer of use."""

    def __init__(self, timeout: asyncio.Timeout, seconds: float) -> None:
        self.timeout = timeout
        self.start = asyncio.get_running_loop().time()
        self.seconds = seconds
        self.client_gone = False
        self.watcher: asyncio.Task[None] | None = None

    def shorten(self, seconds: float | None) -> None:
        """Allow no more than ``seconds`` since the start."""
        if seconds is not None and seconds < self.seconds:
            self.seconds = seconds
            self.timeout.reschedule(self.start + seconds)

    def watch(self, request: Request) -> None:
        self.watcher = asyncio.get_running_loop().create_task(self.pass_with(request))

    async def pass_with(self, request: Request) -> None:
        """End the deadline as soon as the client disconnects."""
        while (await request.receive())["type"] != "http.disconnect":
            pass
        self.client_gone = True
        if not self.timeout.expired():
            self.timeout.reschedule(asyncio.get_running_loop().time())


@asynccontextmanager
async def deadline(request: Request, settings: Settings) -> AsyncGenerator[Deadline]:
    """Cancel the work inside as :func:`time_limit` does, and also when the client has disconnected.

    Raises:
        ProblemError: 503 if the deadline has passed, 400 for an invalid header.
        ClientDisconnect: if the client has disconnected.
    """
    async with time_limit(settings) as found:
        found.shorten(expected(request))
        timer = asyncio.get_running_loop().call_later(WATCH_AFTER_S, found.watch, request)
        try:
            yield found
        finally:
            timer.cancel()
            if found.watcher is not None:
                found.watcher.cancel()


@asynccontextmanager
async def time_limit(settings: Settings, wanted: float | None = None) -> AsyncGenerator[Deadline]:
    """Cancel the work inside, after the body is read, when the deadline has passed.

    The deadline is that of the settings, or ``wanted`` seconds from now if that is sooner. Images that wait for a
    thread or for the model are dropped. A batch that already runs is finished, and its outputs are not used.

    Raises:
        ProblemError: 503 if the deadline has passed.
        ClientDisconnect: if the deadline was ended because the client has disconnected.
    """
    seconds = settings.request_timeout_s
    found = None
    try:
        async with asyncio.timeout(seconds) as timeout:
            found = Deadline(timeout, seconds)
            found.shorten(wanted)
            yield found
    except TimeoutError:
        if found is None or not timeout.expired():  # another cancellation, not the deadline
            raise
        if found.client_gone:
            raise ClientDisconnect from None
        raise ProblemError(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "timeout",
            f"The request was not answered within its timeout of {found.seconds:.6f}".rstrip("0").rstrip(".")
            + " s: try again, or send fewer images.",
        ) from None


def expected(request: Request) -> float | None:
    """Return the seconds that the reverse proxy will still wait, as Envoy and compatible proxies tell."""
    sent = request.headers.get(EXPECTED)
    if sent is None:
        return None
    if not (sent.isascii() and sent.isdecimal() and len(sent) <= 10):
        raise ProblemError(HTTPStatus.BAD_REQUEST, "timeout-header", f"{EXPECTED} must be a number of milliseconds.")
    return int(sent) / 1000 or None
