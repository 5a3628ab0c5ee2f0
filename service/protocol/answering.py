"""The path of an inference request from its message to its answer, the same over REST and gRPC."""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import NamedTuple, TypeVar

from service.http.admission import Deadline
from service.http.problems import translated
from service.inference.errors import UnusableImageError
from service.inference.runtime import Model, Outputs
from service.observing.tracing import stage
from service.protocol import invalid
from service.protocol.requests import Inference
from service.protocol.tensors import IMAGE_BYTES
from service.records.keeping import Input, keep
from service.records.kept import Kept
from service.state import State

T = TypeVar("T")


class Origin(NamedTuple):
    """Where a request comes from."""

    request_id: str
    caller: str | None
    """The name of its key or token, if it has one."""
    subject: str
    """Who shares in the limits of the caller."""


class Result(NamedTuple):
    """What an answer tells."""

    request_id: str
    inference: Inference
    rows: Sequence[Outputs]
    """The outputs of each image, in order."""
    kept: Kept


async def answered(
    state: State,
    model: Model,
    origin: Origin,
    size: int,
    limit: AbstractAsyncContextManager[Deadline],
    read: Callable[[], Inference],
    write: Callable[[Result], T],
) -> T:
    """Predict, keep the records, and write the answer.

    Args:
        size: Bytes of the message.
        limit: The deadline of the request.
        read: Reads the message. It runs in a thread of the decoders, as ``write`` does.

    Raises:
        ProblemError: if the message is invalid, if there is no place in a queue, if the deadline has passed, or if
            records are required and can't be written.
    """
    in_thread = state.predictor.decoders.run
    async with limit as until:
        inference = await in_thread(origin.subject, size, read)
        until.shorten(inference.timeout_s)
        with translated():
            rows = await run(state, model, inference, origin.subject)
    inputs = [Input(image) for image in (inference.files if inference.pixels is None else inference.pixels)]
    kept = await keep(state, origin.caller, model, inputs, rows)
    request_id = origin.request_id if inference.id is None else inference.id
    start = time.perf_counter()
    answer = await in_thread(origin.subject, 0, partial(write, Result(request_id, inference, rows, kept)))
    state.predictor.of(model).metrics.encoded(time.perf_counter() - start)
    stage("encode", start)
    await kept.committed()
    return answer


async def run(state: State, model: Model, inference: Inference, caller: str) -> list[Outputs]:
    if inference.pixels is not None:
        return await state.predictor.run(model, list(inference.pixels), caller)
    try:
        images = await state.predictor.decode(model, inference.files, caller=caller)
    except UnusableImageError as error:  # a file is part of the message here, so every fault is 400
        raise invalid(f"input {IMAGE_BYTES}: element {error.index}: {error}") from None
    return await state.predictor.run(model, [image.pixels for image in images], caller)
