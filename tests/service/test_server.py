"""The service as a process: what it imports, what it says, how it ends."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from service.server import listening
from tests.conftest import ImageMaker
from tests.service.process import connect, running

ROOT = Path(__file__).resolve().parents[2]


def test_says_what_it_serves_and_ends_in_order(repository: Path, make_image: ImageMaker) -> None:
    with running(repository) as (process, address, log):
        text = str(log)
        assert re.search(r"serving colour version 1 \(sha256:\w{12}\) on CPUExecutionProvider", text)
        assert re.search(r"serving grey version 1", text)
        assert str(repository) in text
        assert httpx.get(f"{address}/v2/health/ready").status_code == 200
        answer = httpx.post(f"{address}/v1/models/colour/predict", content=make_image())
        assert answer.status_code == 200
        assert "server" not in answer.headers
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def test_serves_without_torch_and_monai(repository: Path, make_image: ImageMaker, tmp_path: Path) -> None:
    """Stand-ins that fail at import come first on the path, so any import of the training stack would show."""
    for name in ("torch", "monai", "training", "ignite", "sklearn", "onnx"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"raise ImportError('the service imported {name}')")
    code = "import runpy, sys; sys.path.insert(0, sys.argv.pop(1)); runpy.run_module('service', run_name='__main__')"
    with running(repository, ("-c", code, tmp_path)) as (_, address, _):
        assert httpx.post(f"{address}/v1/models/grey/predict", content=make_image()).status_code == 200


@pytest.mark.parametrize(
    ("path", "headers"),
    [("/v1/models/colour/predict", {}), ("/v2/models/colour/infer", {"Inference-Header-Content-Length": "0"})],
)
def test_a_request_in_hand_is_finished_at_sigterm(
    repository: Path, make_image: ImageMaker, path: str, headers: dict[str, str]
) -> None:
    image = make_image("PNG", width=600, height=400)
    headers |= {"Host": "x", "Content-Length": str(len(image)), "Expect": "100-continue"}
    head = "\r\n".join((f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())))
    with running(repository) as (process, address, _):
        with connect(address) as connection:
            connection.sendall(f"{head}\r\n\r\n".encode())
            assert connection.recv(65536).startswith(b"HTTP/1.1 100")  # the request is in hand
            connection.sendall(image[: len(image) // 2])
            process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            connection.sendall(image[len(image) // 2 :])
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        assert process.wait(20) == 0


def test_a_body_that_does_not_come_is_given_up(repository: Path) -> None:
    with running(repository, RETINA_BODY_TIMEOUT_S="0.5") as (_, address, _):
        with connect(address) as connection:
            connection.sendall(b"POST /v1/models/grey/predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf")
            answer = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
        assert answer.startswith("HTTP/1.1 408")
        assert "did not arrive within 0.5 s" in answer
        assert httpx.get(f"{address}/v2/health/ready").status_code == 200


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"RETINA_MODEL_REPOSITORY": "/nowhere"}, "holds no model package"),
        ({"RETINA_PROVIDER": "gpu"}, "RETINA_PROVIDER"),
        ({"RETINA_PROT": "80"}, "did you mean RETINA_PORT"),
    ],
)
def test_a_start_that_can_t_work_is_one_sentence(repository: Path, environment: dict[str, str], message: str) -> None:
    variables = os.environ | {"RETINA_MODEL_REPOSITORY": str(repository), "RETINA_PORT": "0"} | environment
    done = subprocess.run(
        [sys.executable, "-m", "service"],
        cwd=ROOT,
        env=variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_drains_before_it_ends(repository: Path, make_image: ImageMaker) -> None:
    with running(repository, RETINA_DRAIN_SECONDS="4") as (process, address, _):
        process.send_signal(signal.SIGTERM)
        until = time.monotonic() + 3
        while httpx.get(f"{address}/v2/health/ready").status_code == 200:
            assert time.monotonic() < until
        assert httpx.get(f"{address}/v2/health/live").status_code == 200
        assert httpx.post(f"{address}/v1/models/colour/predict", content=make_image()).status_code == 200
        assert process.wait(20) == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "192.0.2.1", "nowhere.invalid"])
def test_an_address_that_can_t_be_used_is_one_sentence(repository: Path, host: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        variables = {"RETINA_MODEL_REPOSITORY": str(repository), "RETINA_HOST": host, "RETINA_PORT": str(port)}
        done = subprocess.run(
            [sys.executable, "-m", "service"],
            cwd=ROOT,
            env=os.environ | variables | {"RETINA_AUTH": "none"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    [line] = [line for line in done.stderr.splitlines() if "listen" in line]
    assert f"can't listen on {host}, port {port}" in line
    assert "RETINA_PORT" in line
    assert "Traceback" not in done.stderr


def test_every_address_of_a_host_is_listened_on() -> None:
    sockets = listening("localhost", 0)
    try:
        found = {entry[4][0] for entry in socket.getaddrinfo("localhost", 0, type=socket.SOCK_STREAM)}
        assert {bound.getsockname()[0] for bound in sockets} <= found
        assert "127.0.0.1" in {bound.getsockname()[0] for bound in sockets}
    finally:
        for bound in sockets:
            bound.close()
