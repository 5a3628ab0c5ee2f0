"""Hostile connections, and names that want out of the repository, against a real process."""

import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from typer.testing import CliRunner

from service.__main__ import app
from service.client import Client, ServiceError
from service.settings import SHIPPED_REPOSITORY, SettingsError
from tests.conftest import ImageMaker
from tests.service.process import ROOT, Log, connect, running
from tests.service.security.credentials import MODEL, add_key

SECRET = b"the content of a file outside"
LIMITS = {"RETINA_HEADER_TIMEOUT_S": "0.5", "RETINA_MAX_HEADER_BYTES": "4096", "RETINA_MAX_HEADERS": "20"}
LIMITS |= {"RETINA_BODY_TIMEOUT_S": "1", "RETINA_TRUSTED_PROXIES": "127.0.0.2"}


class Service(NamedTuple):
    """A running one."""

    address: str
    folder: Path
    """Holds the repository and the key file."""
    admin_key: str
    log: Log


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("hostile")
    shutil.copytree(SHIPPED_REPOSITORY / MODEL, folder / "models" / MODEL)
    for outside in (folder / "outside" / "1", folder / "models" / "outside"):
        outside.mkdir(parents=True)
        (outside / "model.onnx").write_bytes(SECRET)
    key = add_key(folder / "keys.json", "admin", "admin", "predict")
    with running(folder / "models", RETINA_THREADS="1", RETINA_KEYS_FILE=str(folder / "keys.json"), **LIMITS) as (
        _,
        address,
        log,
    ):
        yield Service(address, folder, key, log)


def answer_to(address: str, *pieces: bytes) -> bytes:
    with connect(address) as connection:
        for piece in pieces:
            connection.sendall(piece)
        try:
            return b"".join(iter(lambda: connection.recv(65536), b""))
        except ConnectionResetError:
            return b""


def test_clients_that_stop_in_the_middle_are_let_go_while_others_are_served(service: Service) -> None:
    address = service.address
    slow = [connect(address) for _ in range(60)]
    kept = connect(address)
    kept.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n")
    assert kept.recv(65536).startswith(b"HTTP/1.1 200")
    begin = time.monotonic()
    for index, connection in enumerate(slow):
        connection.sendall((b"", b"GET /", b"GET / HTTP/1.1\r\nX-A: b\r\n", b"\r\n")[index % 4])
    assert httpx.get(f"{address}/v2/health/ready").status_code == 200
    ended: set[int] = set()
    while len(ended) < 61 and time.monotonic() - begin < 9:  # a byte now and then gains no time
        for index, connection in enumerate([*slow, kept]):
            if index not in ended:
                try:
                    connection.sendall(b"\r\n" if index == 60 else b"x")
                    connection.setblocking(False)
                    if connection.recv(65536) == b"":
                        ended.add(index)
                except BlockingIOError:
                    pass
                except OSError:
                    ended.add(index)
                finally:
                    connection.setblocking(True)
        time.sleep(0.05)
    for connection in [*slow, kept]:
        connection.close()
    assert ended == set(range(61))


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 5000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X-%d: b\r\n" % n for n in range(30)) + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Endless: " + b"a" * 100_000,
    ],
    ids=["path", "field", "fields", "endless"],
)
def test_a_head_that_is_too_large_is_refused(service: Service, head: bytes) -> None:
    answer = answer_to(service.address, head)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 431 "), answer[:200]
    if len(head) < 10_000:
        assert b"urn:retina-srm:problem:head-too-large" in answer
        assert b"server:" not in answer.lower()


def test_an_answer_that_nobody_reads_is_given_up(service: Service) -> None:
    """Several times what the sockets hold, asked for and not read."""
    with connect(service.address) as connection:
        connection.sendall(b"GET /docs-static/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n" * 8)

        def push() -> None:
            begin = time.monotonic()
            while time.monotonic() - begin < 9:
                connection.send(b" ")
                time.sleep(0.1)

        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            push()


def test_few_requests_wait_on_a_connection(service: Service) -> None:
    request = b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    last = request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    assert answer_to(service.address, request * 7 + last).count(b"HTTP/1.1 200") == 8
    assert answer_to(service.address, request * 500 + last).count(b"HTTP/1.1 200") <= 10


@pytest.mark.parametrize(("source", "shown"), [("127.0.0.1", "127.0.0.1"), ("127.0.0.2", "192.0.2.7")])
def test_only_the_trusted_proxy_names_the_caller(service: Service, source: str, shown: str) -> None:
    path = f"/v2/models/from-{source}"
    with httpx.Client(transport=httpx.HTTPTransport(local_address=source)) as client:
        assert client.get(f"{service.address}{path}", headers={"X-Forwarded-For": "192.0.2.7"}).status_code == 401
    log = service.log.wait_for(f"refused GET /v2/models/{{model}} from {shown}:")
    assert f"from-{source}" not in log


def test_what_is_no_http_is_refused_in_the_same_words(service: Service) -> None:
    for nonsense in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"):
        assert b"malformed-request" in answer_to(service.address, nonsense)


def test_trailers_are_no_credentials_and_have_their_limit(service: Service) -> None:
    address, key = service.address, service.admin_key
    head = f"POST /v1/models/{MODEL}/predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n"
    trailer = f"1\r\nx\r\n0\r\nAuthorization: Bearer {key}\r\n\r\n".encode()
    assert answer_to(address, head.encode() + b"\r\n" + trailer).startswith(b"HTTP/1.1 401")
    endless = head.encode() + b"\r\n1\r\nx\r\n0\r\n" + b"X-T: " + b"a" * 10_000
    answer = answer_to(address, endless)
    assert answer == b"" or b" 431 " in answer or answer.startswith(b"HTTP/1.1 401")


def test_a_body_after_a_refusal_is_not_waited_for(service: Service) -> None:
    with connect(service.address) as connection:
        connection.sendall(b"POST /v2/models/x/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\npart")
        assert connection.recv(65536).startswith(b"HTTP/1.1 401")
        begin = time.monotonic()
        try:
            while connection.recv(65536):
                pass
        except ConnectionResetError:
            pass
        assert time.monotonic() - begin < 9


def names(count: int) -> Iterator[str]:
    """Spellings of ways out of the repository, by hand and at random."""
    yield from ("..", "../outside", "%2e%2e", "%2e%2e%2foutside", "..%2foutside", "..%5coutside", "%2e%2e/outside",
                "..%c0%afoutside", "..%252foutside", "%00", "outside%00", ".", "%2e", "%2f", "%2fetc%2fpasswd",
                "..;/outside", "....//outside", "outside", "%EF%BC%8E%EF%BC%8E%2foutside", "a" * 3000, "%0d%0aX-A:%20b",
                "~", "$HOME", "*", "%3f", "[a-z]*", "\\..\\outside")  # fmt: skip
    seeded = random.Random(7)
    parts = ["..", "%2e", "%2E%2e", "/", "%2f", "%5c", "\\", "%00", "%252e", "%252f", "outside", MODEL, "1", ".", "%0a",
             "%c0%ae", "*", "?", "//", ";", "model.onnx", "keys.json", "%ff"]  # fmt: skip
    for _ in range(count):
        yield "".join(seeded.choices(parts, k=seeded.randint(1, 6)))


def test_no_name_leads_out_of_the_repository(service: Service) -> None:
    """Sent as they are: a client library would tidy the paths up first."""
    address, key = service.address, service.admin_key
    templates = (
        ("GET", "/v1/models/{}/card"), ("GET", "/v1/models/{}/versions/1/card"), ("GET", "/v2/models/{}"),
        ("GET", f"/v2/models/{MODEL}/versions/{{}}"), ("GET", "/v2/models/{}/config"), ("GET", "/static/{}"),
        ("GET", "/docs-static/{}"), ("POST", "/v2/repository/models/{}/load"), ("POST", "/v2/models/{}/infer"),
    )  # fmt: skip
    fields = f"Host: x\r\nAuthorization: Bearer {key}\r\nContent-Length: 0\r\n\r\n"
    seen: set[int] = set()
    with connect(address) as connection:
        for index, name in enumerate(names(200)):
            for method, template in templates[index % 3 :: 3]:
                connection.sendall(f"{method} {template.format(name)} HTTP/1.1\r\n{fields}".encode())
                head, _, body = connection.recv(262_144).partition(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0] or 0)
                while len(body) < length:
                    body += connection.recv(262_144)
                status = int(head.split()[1])
                seen.add(status)
                assert SECRET not in body
                assert b"rsk_" not in body
                assert b'"digest"' not in body
                if status == 200 and not template.startswith(("/static", "/docs-static")):  # by a way round
                    loaded = template.endswith("/load") and name.partition("?")[0] == MODEL
                    assert MODEL.encode() in body or (loaded and body == b"{}"), (template, name)
                assert status in (200, 307, 400, 404, 405), (template, name, status)
    assert {400, 404} & seen
    assert httpx.get(f"{address}/v2/health/ready").status_code == 200


def test_keys_are_taken_in_and_ended_while_it_runs(service: Service, make_image: ImageMaker) -> None:
    address, folder = service.address, service.folder
    command = [sys.executable, "-m", "service", "keys", "add", "clinic", "--file", str(folder / "keys.json")]
    key = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    with Client(address, key=key) as client:
        assert client.predict(MODEL, make_image(), weights="none").model.name == MODEL
        CliRunner().invoke(app, ["keys", "revoke", "clinic", *command[-2:]], catch_exceptions=False)
        with pytest.raises(ServiceError, match="401: Not let in: the key is unknown, expired or revoked"):
            client.models()
    with Client(address) as client, pytest.raises(ServiceError, match="401"):
        client.models()


def test_a_way_in_for_everybody_does_not_start_by_itself(service: Service) -> None:
    environment = {"RETINA_HOST": "0.0.0.0", "RETINA_MODEL_REPOSITORY": str(service.folder / "models")}
    with pytest.raises(SettingsError, match="RETINA_AUTH=none"):
        CliRunner().invoke(app, [], env=environment, catch_exceptions=False)


@pytest.mark.parametrize("offer", ["websocket", "h2c", "TLS/1.0"])
def test_an_offer_of_another_protocol_is_passed_over_quietly(service: Service, offer: str) -> None:
    head = f"POST /v1/models/{MODEL}/predict HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: {offer}\r\n"
    plain = f"GET /v2/health/live HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: {offer}\r\n\r\n"
    before = len(str(service.log))
    for request, status in ((plain, b"200"), (f"{head}Content-Length: 4\r\n\r\nbody", b"401")):
        answer = answer_to(service.address, request.encode())  # to the end of the connection
        assert answer.startswith(b"HTTP/1.1 " + status)
        assert b"connection: close" in answer.lower()
        assert answer.count(b"HTTP/1.1 ") == 1
    assert httpx.get(f"{service.address}/v2/health/live").status_code == 200
    text = str(service.log)[before:]
    assert "pgrade" not in text
    assert "uvicorn" not in text.lower()
