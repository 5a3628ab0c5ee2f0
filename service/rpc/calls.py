"""One call: who sent it, its message, its log line and its status."""

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import nullcontext
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import unquote

import grpc
from google.protobuf.message import DecodeError

from service.http import request_log
from service.http.arrivals import Body
from service.http.problems import CLIENT_GONE, ProblemError
from service.observing.logs import Facts, current
from service.observing.tracing import request
from service.protocol import invalid
from service.protocol.answering import Origin
from service.rpc.statuses import code_of, text_of
from service.security.entry import Sender, let_in, subject
from service.security.proxy import Proxies
from service.security.scopes import Scope
from service.state import State

T = TypeVar("T")
logger = logging.getLogger(__name__)
SERVICE = "inference.GRPCInferenceService"
PROBES = ("Check", "Watch", "ServerLive", "ServerReady")
FAILED = ProblemError(
    HTTPStatus.INTERNAL_SERVER_ERROR,
    "internal",
    "The service failed on this request. Its log has the details under the id in x-request-id.",
)


class Call:
    """A call, or one message of a stream."""

    def __init__(self, state: State, proxies: Proxies, context: Any, method: str, service: str = SERVICE) -> None:
        self.state = state
        self.proxies = proxies
        self.context = context
        self.method = method
        self.service = service
        self.metadata = {key: value for key, value in context.invocation_metadata() if isinstance(value, str)}
        sent = self.metadata.get("x-request-id", "")
        self.id = sent if request_log.REQUEST_ID.fullmatch(sent.encode()) else uuid.uuid4().hex
        host = proxies.client_of(host_of(context.peer()), self.metadata.get("x-forwarded-for", ""))
        self.sender = Sender(self.metadata.get("authorization", ""), host, f"gRPC {method}")
        self.caller: str | None = None

    @property
    def origin(self) -> Origin:
        """Where the call comes from."""
        return Origin(self.id, self.caller, subject(self.caller, self.sender.host))

    def message(self) -> "Call":
        """The call of one message of a stream. It has an id of its own, as every request has."""
        call = Call(self.state, self.proxies, self.context, self.method)
        call.id = uuid.uuid4().hex
        return call

    async def let_in(self, scopes: Sequence[Scope]) -> None:
        """Check the caller.

        Raises:
            ProblemError: as :func:`service.security.entry.let_in`.
        """
        self.caller = (await let_in(self.state, self.sender, scopes)).name

    async def receive(self, messages: AsyncIterator[bytes], body: Body) -> bytes:
        """Receive the message of the call within the limits of a body.

        Raises:
            ProblemError: if it is missing or late, or if the bodies in memory reach their limit.
        """
        timeout_s = self.state.settings.body_timeout_s
        async with body.arriving():
            try:
                async with asyncio.timeout(timeout_s):
                    message = await anext(messages, None)
            except TimeoutError:
                raise ProblemError(
                    HTTPStatus.REQUEST_TIMEOUT, "slow-body", f"The message did not arrive within {timeout_s:g} s."
                ) from None
        if message is None:
            raise invalid("The call ended without a message.")
        body.hold(len(message))
        return message

    async def settled(self, work: Awaitable[T], *, predicts: bool) -> T | ProblemError:
        """Do the work of a call and log it; count it if it ``predicts``.

        A fault of the service becomes a problem without details.
        """
        facts = Facts(self.id)
        current.set(facts)
        start, status = time.perf_counter(), CLIENT_GONE
        name, probe = f"{self.service}/{self.method}", self.method in PROBES
        try:
            with nullcontext() if probe else request(name, self.metadata):
                found = await work
            status = 200
            return found
        except ProblemError as problem:
            status = problem.status.value
            if status == HTTPStatus.UNPROCESSABLE_ENTITY:  # as over REST
                status = HTTPStatus.BAD_REQUEST.value
            return problem
        except Exception as error:
            logger.error("request %s failed", self.id, exc_info=error)
            status = FAILED.status.value
            return FAILED
        finally:
            seconds = time.perf_counter() - start
            if predicts:
                request_log.count(self.state, facts, None, status, seconds)
            request_log.write(facts, "gRPC", name, status, seconds, level=logging.DEBUG if probe else logging.INFO)

    async def answered(self, work: Awaitable[T], *, predicts: bool = False) -> T:
        """Do the work of a call, and return its answer, or end the call with the status of its problem."""
        found = await self.settled(work, predicts=predicts)
        fields = self.sender.headers | {"X-Request-ID": self.id}
        if isinstance(found, ProblemError):
            fields |= {name: value for name, value in found.headers.items() if name != "Connection"}
        trailing = tuple((name.lower(), value) for name, value in fields.items())
        if isinstance(found, ProblemError):
            await self.context.abort(code_of(found), text_of(found), trailing)
            raise AssertionError("abort raises")
        self.context.set_trailing_metadata(trailing)
        return found


Act = Callable[[Call, AsyncIterator[bytes]], Awaitable[bytes]]


def unary(
    state: State,
    proxies: Proxies,
    method: str,
    scopes: Sequence[Scope],
    act: Act,
    *,
    service: str = SERVICE,
    predicts: bool = False,
) -> Any:
    """Make the handler of a method with one message and one answer.

    To gRPC it is one with a stream of messages, because then the caller is checked before the message is read.
    """

    async def work(call: Call, messages: AsyncIterator[bytes]) -> bytes:
        if scopes:
            await call.let_in(scopes)
        return await act(call, messages)

    async def handle(messages: AsyncIterator[bytes], context: Any) -> bytes:
        call = Call(state, proxies, context, method, service)
        return await call.answered(work(call, messages), predicts=predicts)

    return grpc.stream_unary_rpc_method_handler(handle)


def parse(kind: Any, content: bytes) -> Any:
    """Read a protocol buffer.

    Raises:
        ProblemError: 400, if it is none of this kind.
    """
    try:
        return kind.FromString(content)
    except DecodeError:
        raise invalid(f"The message is not a {kind.DESCRIPTOR.name}: check the schema of the client.") from None


def host_of(peer: str) -> str | None:
    """Return the address in what gRPC calls a peer: ``ipv4:127.0.0.1:50001``, ``ipv6:[::1]:50001``, or another kind."""
    kind, _, rest = unquote(peer).partition(":")
    host = rest.rpartition(":")[0].strip("[]").partition("%")[0]
    return host if kind in ("ipv4", "ipv6") else None
