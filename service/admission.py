"""The way in for every prediction request: find the model, refuse what would be too much, count and time it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from service.metrics import Metrics
from service.problems import ProblemError
from service.runtime import Model
from service.state import State, find_model


@contextmanager
def admitted(state: State, name: str, version: str | None) -> Iterator[Model]:
    """Hold a place and the model for one request, from before its body is read until its answer is written.

    Raises:
        ProblemError: 404 for an unknown model, 503 if as many requests as allowed are in hand.
    """
    start, label, outcome = time.perf_counter(), "unknown", "error"
    try:
        model = find_model(state, name, version)
        label = model.name
        with place(state), state.predictor.using(model):
            statistics, ok = state.predictor.of(model).metrics.statistics, False
            try:
                yield model
                ok = True
            finally:
                (statistics.success if ok else statistics.fail).add(time.perf_counter() - start)
        outcome = "ok"
    except ProblemError as problem:
        outcome = rejected(state.metrics, problem)
        raise
    finally:
        state.metrics.requests.labels(label, outcome).inc()
        state.metrics.request_seconds.labels(label).observe(time.perf_counter() - start)


@contextmanager
def place(state: State) -> Iterator[None]:
    if state.requests >= state.settings.max_requests:
        raise ProblemError.overload("too-many-requests", f"{state.requests} requests are in hand, which is the limit")
    state.requests += 1
    state.metrics.in_flight.set(state.requests)
    try:
        yield
    finally:
        state.requests -= 1
        state.metrics.in_flight.set(state.requests)


def rejected(metrics: Metrics, problem: ProblemError) -> str:
    """Count a refusal because of load, and return the outcome that a problem stands for."""
    if problem.status != 503:
        return "client_error"
    metrics.rejected.labels(problem.code).inc()
    return "rejected"
