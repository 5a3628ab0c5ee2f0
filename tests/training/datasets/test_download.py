"""Downloads from a server on this machine, with and without ranges, whole, broken off and wrong."""

import hashlib
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from training.datasets.download import download
from training.datasets.medmnist_releases import RELEASES
from training.errors import TrainingError

CONTENT = np.random.default_rng(0).bytes(3_300_000)
NAME = "octmnist_64.npz"


class Server:
    """Serves ``CONTENT`` as ``NAME`` and remembers what was asked for."""

    def __init__(self) -> None:
        self.ranges = True
        """Whether it understands ``Range``."""
        self.break_after: int | None = None
        """Close the connection after that many bytes of the body."""
        self.content = CONTENT
        self.redirect = False
        self.asked: list[str | None] = []
        """The ``Range`` header of each request."""
        self.sent: list[int] = []
        """Bytes of the body that each request got."""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer.answer(self)

            def log_message(self, *_: object) -> None: ...

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/files"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        if self.redirect and "/elsewhere/" not in request.path:
            request.send_response(302)
            request.send_header("Location", f"/elsewhere/{NAME}")
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        if not request.path.endswith(f"/{NAME}"):
            request.send_error(404)
            return
        asked = request.headers.get("Range")
        self.asked.append(asked)
        start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) if asked and self.ranges else 0  # type: ignore[index]
        if start >= len(self.content):
            request.send_response(416)
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        body = self.content[start:]
        request.send_response(206 if start else 200)
        request.send_header("Content-Length", str(len(body)))
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(self.content) - 1}/{len(self.content)}")
        request.end_headers()
        body = body[: self.break_after]
        self.sent.append(len(body))  # first, since the client may have ended before the next line
        request.wfile.write(body)
        request.close_connection = True


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server whose file is the published one."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setitem(RELEASES["octmnist"].md5, 64, hashlib.md5(CONTENT, usedforsecurity=False).hexdigest())
    server = Server()
    thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.http.shutdown()
    thread.join()
    server.http.server_close()


def listing(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def fetch(server: Server, folder: Path) -> Path:
    return download("octmnist", 64, folder, base_url=server.url)


class TestWhole:
    @pytest.mark.parametrize("ranges", [True, False])
    def test_download(self, server: Server, tmp_path: Path, ranges: bool) -> None:
        server.ranges = ranges
        path = fetch(server, tmp_path / "new" / "folder")
        assert path == tmp_path / "new" / "folder" / NAME
        assert path.read_bytes() == CONTENT
        assert listing(path.parent) == {NAME}
        assert server.asked == [None]

    def test_follows_a_redirection(self, server: Server, tmp_path: Path) -> None:
        server.redirect = True
        assert fetch(server, tmp_path).read_bytes() == CONTENT

    def test_is_not_fetched_again(self, server: Server, tmp_path: Path) -> None:
        (tmp_path / NAME).write_bytes(CONTENT)
        assert fetch(server, tmp_path) == tmp_path / NAME
        assert server.asked == []

    def test_never_replaces_a_file_that_is_another(self, server: Server, tmp_path: Path) -> None:
        (tmp_path / NAME).write_bytes(b"somebody's own")
        with pytest.raises(TrainingError, match=f"{NAME} is there already and is not the published file"):
            fetch(server, tmp_path)
        assert (tmp_path / NAME).read_bytes() == b"somebody's own"
        assert server.asked == []


class TestBrokenOff:
    def test_leaves_nothing_under_the_files_name(self, server: Server, tmp_path: Path) -> None:
        server.break_after = 2_500_000
        with pytest.raises(TrainingError, match=rf"{NAME} broke off after \d.*call it again") as caught:
            fetch(server, tmp_path)
        part = tmp_path / f"{NAME}.part"
        assert listing(tmp_path) == {part.name}
        assert CONTENT.startswith(part.read_bytes())
        assert f"{part.stat().st_size:,} bytes" in str(caught.value)

    def test_is_resumed_and_only_the_rest_is_sent(self, server: Server, tmp_path: Path) -> None:
        server.break_after = 2_500_000
        with pytest.raises(TrainingError):
            fetch(server, tmp_path)
        done = (tmp_path / f"{NAME}.part").stat().st_size
        assert done > 1_000_000
        server.break_after = None
        assert fetch(server, tmp_path).read_bytes() == CONTENT
        assert listing(tmp_path) == {NAME}
        assert server.asked == [None, f"bytes={done}-"]
        assert server.sent == [2_500_000, len(CONTENT) - done]

    def test_restarts_if_the_server_has_no_ranges(self, server: Server, tmp_path: Path) -> None:
        server.ranges = False
        (tmp_path / f"{NAME}.part").write_bytes(CONTENT[:2_000_000])
        assert fetch(server, tmp_path).read_bytes() == CONTENT
        assert server.sent == [len(CONTENT)]

    @pytest.mark.parametrize("ranges", [True, False])
    def test_after_the_last_byte(self, server: Server, tmp_path: Path, ranges: bool) -> None:
        server.ranges = ranges
        (tmp_path / f"{NAME}.part").write_bytes(CONTENT)
        assert fetch(server, tmp_path).read_bytes() == CONTENT
        assert listing(tmp_path) == {NAME}


class TestWrong:
    def test_content_is_removed(self, server: Server, tmp_path: Path) -> None:
        server.content = b"x" + CONTENT[1:]
        with pytest.raises(TrainingError, match="removed") as caught:
            fetch(server, tmp_path)
        assert listing(tmp_path) == set()
        assert hashlib.md5(server.content, usedforsecurity=False).hexdigest() in str(caught.value)
        assert hashlib.md5(CONTENT, usedforsecurity=False).hexdigest() in str(caught.value)

    def test_beginning_is_removed(self, server: Server, tmp_path: Path) -> None:
        (tmp_path / f"{NAME}.part").write_bytes(b"\0" * 2_000_000)
        with pytest.raises(TrainingError, match="removed"):
            fetch(server, tmp_path)
        assert listing(tmp_path) == set()
        assert fetch(server, tmp_path).read_bytes() == CONTENT

    def test_address(self, server: Server, tmp_path: Path) -> None:
        with pytest.raises(TrainingError, match="404"):
            download("octmnist", 28, tmp_path, base_url=server.url)
        assert listing(tmp_path) == set()

    def test_server(self, server: Server, tmp_path: Path) -> None:
        server.http.server_close()
        with pytest.raises(TrainingError, match="broke off after 0 bytes"):
            fetch(server, tmp_path)

    def test_name(self, tmp_path: Path) -> None:
        with pytest.raises(TrainingError, match=r"'lag' can't be downloaded.*octmnist, retinamnist"):
            download("lag", 28, tmp_path)

    def test_size(self, tmp_path: Path) -> None:
        with pytest.raises(TrainingError, match="28, 64, 128, 224"):
            download("octmnist", 32, tmp_path)
