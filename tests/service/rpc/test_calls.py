"""What gRPC says of a sender, and what a client is told of a fault."""

import asyncio
from types import SimpleNamespace

import pytest
from grpc import StatusCode

from service.app import create_app
from service.http.problems import ProblemError
from service.rpc.calls import Call, host_of
from service.rpc.statuses import code_of, text_of
from service.security.proxy import Proxies
from service.settings import Settings


@pytest.mark.parametrize(
    ("peer", "host"),
    [
        ("ipv4:127.0.0.1:50001", "127.0.0.1"),
        ("ipv6:[::1]:50001", "::1"),
        ("ipv6:%5B2001:db8::7%5D:443", "2001:db8::7"),
        ("ipv6:[fe80::1%25eth0]:443", "fe80::1"),
        ("unix:/run/retina.sock", None),
        ("unknown", None),
        ("", None),
    ],
)
def test_the_address_of_a_peer(peer: str, host: str | None) -> None:
    assert host_of(peer) == host


def test_a_fault_of_the_service_is_told_without_its_text(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    state = create_app(settings).state.service
    context = SimpleNamespace(invocation_metadata=lambda: (("x-request-id", "seven"),), peer=lambda: "unknown")

    async def fail() -> bytes:
        raise RuntimeError("MILLER")

    call = Call(state, Proxies(settings), context, "ModelInfer")
    problem = asyncio.run(call.settled(fail(), predicts=True))
    assert isinstance(problem, ProblemError)
    assert code_of(problem) is StatusCode.INTERNAL
    assert "MILLER" not in text_of(problem)
    assert "request seven failed" in caplog.text
    assert state.metrics.requests.labels("unknown", "error")._value.get() == 1
