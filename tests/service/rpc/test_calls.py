"""What gRPC says of a sender."""

import pytest

from service.rpc.calls import host_of


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
