"""``ModelInfer``, and ``ModelStreamInfer``: many requests and answers over one call."""

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from http import HTTPStatus
from typing import Any

import grpc

from service.http.admission import in_use, refusals_counted, time_limit
from service.http.problems import ProblemError
from service.http.uploads import received
from service.inference.runtime import Model
from service.protocol.answering import Result, answered
from service.rpc.calls import Call, parse
from service.rpc.messages import infer_response, read_message, write_message
from service.rpc.proto.grpc_service_pb2 import ModelInferRequest, ModelStreamInferResponse
from service.rpc.statuses import text_of
from service.security.proxy import Proxies
from service.security.scopes import Scope
from service.state import State

METHOD = "ModelStreamInfer"
SCOPES: tuple[Scope, ...] = ("predict",)
LARGE = 1 << 20
"""A message of so many bytes is parsed in a thread."""
MOST_IN_FLIGHT = 8
"""Requests of a stream at once. The next message is read when there is room."""
Answers = asyncio.Queue[asyncio.Task[bytes] | None]
"""The answers of a stream in order, and None after the last."""
Write = Callable[[Model, Result], bytes]


async def model_infer(call: Call, messages: AsyncIterator[bytes]) -> bytes:
    """Predict."""
    return await predicted(call, messages, write_message)


async def predicted(call: Call, messages: AsyncIterator[bytes], write: Write) -> bytes:
    state, origin = call.state, call.origin
    with refusals_counted(state):
        async with received(state, origin.subject, partial(call.receive, messages)) as body:
            read: Callable[[], Any] = partial(parse, ModelInferRequest, body)
            large = len(body) > LARGE
            message = await state.predictor.decoders.run(origin.subject, len(body), read) if large else read()
            with in_use(state, message.model_name, message.model_version or None) as model:
                limit = time_limit(state.settings, call.context.time_remaining())
                read = partial(read_message, message, model.card, state.settings.max_files)
                return await answered(state, model, origin, len(body), limit, read, partial(write, model))


def stream(state: State, proxies: Proxies, stopping: asyncio.Event) -> Any:
    """Make the handler of ``ModelStreamInfer``.

    As in Triton the answers come in the order of the requests, and a request that fails has an ``error_message`` as its
    answer, after which the stream goes on. It ends after the last answer, or when the service stops.
    """

    async def handle(messages: AsyncIterator[bytes], context: Any) -> None:
        call = Call(state, proxies, context, METHOD)
        await call.answered(answer_all(call, messages, stopping))

    return grpc.stream_stream_rpc_method_handler(handle)


async def answer_all(call: Call, messages: AsyncIterator[bytes], stopping: asyncio.Event) -> None:
    await call.let_in(SCOPES)
    room, answers = asyncio.Semaphore(MOST_IN_FLIGHT), Answers()
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(write_in_order(call, answers, room))
            stop = group.create_task(stopping.wait())
            while not stopping.is_set():
                await room.acquire()
                reading = group.create_task(next_of(messages))
                await asyncio.wait((reading, stop), return_when=asyncio.FIRST_COMPLETED)
                if not reading.done() or (message := reading.result()) is None:
                    reading.cancel()
                    break
                answers.put_nowait(group.create_task(answer_one(call.message(), message)))
            stop.cancel()
            answers.put_nowait(None)
    except* ProblemError as problems:
        raise problems.exceptions[0] from None
    if stopping.is_set():
        raise ProblemError.overload("stopping", "The service stops")


async def write_in_order(call: Call, answers: Answers, room: asyncio.Semaphore) -> None:
    timeout_s = call.state.settings.body_timeout_s
    while (answer := await answers.get()) is not None:
        content = await answer
        try:
            async with asyncio.timeout(timeout_s):
                await call.context.write(content)
        except TimeoutError:
            raise ProblemError(
                HTTPStatus.REQUEST_TIMEOUT, "slow-reader", f"The client did not read an answer within {timeout_s:g} s."
            ) from None
        room.release()


async def next_of(messages: AsyncIterator[bytes]) -> bytes | None:
    return await anext(messages, None)


async def answer_one(call: Call, message: bytes) -> bytes:
    """Answer one message of a stream."""

    async def work() -> bytes:
        await call.let_in(SCOPES)
        return await predicted(call, alone(message), write_streamed)

    found = await call.settled(work(), predicts=True)
    if isinstance(found, bytes):
        return found
    failed = ModelStreamInferResponse(error_message=text_of(found))
    failed.infer_response.id = id_of(message) or call.id
    return failed.SerializeToString()  # type: ignore[no-any-return]


async def alone(message: bytes) -> AsyncIterator[bytes]:
    yield message


def id_of(message: bytes) -> str:
    """The id that the client gave to a request, if it can be read."""
    try:
        sent: str = parse(ModelInferRequest, message).id
    except ProblemError:
        return ""
    return sent


def write_streamed(model: Model, result: Result) -> bytes:
    """Write an answer of a stream."""
    response = infer_response(model, result)
    return ModelStreamInferResponse(infer_response=response).SerializeToString()  # type: ignore[no-any-return]
