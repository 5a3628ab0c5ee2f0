"""An S3 server on loopback with a bucket for each test, and the environment that leads to it."""

import hashlib
import os
import re
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from models.package import package_path
from service.storage.mirror import Mirror
from service.storage.store import Store


class Bucket:
    """A bucket that a test fills, and its address."""

    def __init__(self, client: Any, endpoint: str) -> None:
        self.name = f"models-{uuid.uuid4().hex[:8]}"
        self.client = client
        self.endpoint = endpoint
        self.address = f"s3://{self.name}/retina"
        client.create_bucket(Bucket=self.name)

    def put(self, path: str, content: bytes) -> None:
        self.client.put_object(Bucket=self.name, Key=f"retina/{path}", Body=content)

    def publish(self, version: str, content: bytes, *, name: str = "colour", digest: str | None = None) -> str:
        """Upload a package and, as ``sha256sum`` writes it, its digest or another. Return its own."""
        found = hashlib.sha256(content).hexdigest()
        self.put(f"{name}/{version}/model.onnx", content)
        self.put(f"{name}/{version}/model.onnx.sha256", f"{digest or found}  model.onnx\n".encode())
        return f"sha256:{found}"

    def delete(self, path: str) -> None:
        self.client.delete_object(Bucket=self.name, Key=f"retina/{path}")


def credentials(endpoint: str) -> dict[str, str]:
    """The variables that lead a client to the server."""
    return {
        "AWS_ACCESS_KEY_ID": "the-id",
        "AWS_SECRET_ACCESS_KEY": "the-secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """The address of the server."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(s3: str, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in credentials(s3).items():
        monkeypatch.setenv(name, value)
    return Bucket(boto3.client("s3"), s3)


@pytest.fixture
def contents(repository: Path) -> list[bytes]:
    """Packages of ``colour`` that answer differently."""
    from tests.service.packages import biased, edited

    package = package_path(repository, "colour", "1")
    return [edited(package, biased([shift, 0, 0])) for shift in (0.5, 1.0, 1.5)]


@pytest.fixture
def mirror(bucket: Bucket, tmp_path: Path) -> Mirror:
    return Mirror(Store(bucket.address), tmp_path / "copy")


class Gate:
    """A port that leads to the server, until it is shut (connections fail) or held (nothing is answered)."""

    def __init__(self, endpoint: str) -> None:
        host, port = re.findall(r"//(.+):(\d+)", endpoint)[0]
        self.server = (host, int(port))
        self.state = "open"
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self.listening.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        while True:
            try:
                client, _ = self.listening.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(self.server) as server:
            threading.Thread(target=self.pump, args=(server, client), daemon=True).start()
            self.pump(client, server)

    def pump(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while content := source.recv(65536):
                while self.state == "held":
                    time.sleep(0.02)
                if self.state == "shut":
                    break
                target.sendall(content)
        except OSError:
            pass
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def gate(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate = Gate(bucket.endpoint)
    monkeypatch.setenv("AWS_ENDPOINT_URL", gate.address)
    yield gate
    gate.state = "shut"
    gate.listening.close()
