"""A reverse proxy that offers a service under a prefix."""

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

PREFIX = "/retina"
HOP = {"connection", "transfer-encoding", "content-length", "host"}


@contextmanager
def proxy(target: str, *, strip: bool, forwarded: str | None = None) -> Iterator[str]:
    """A reverse proxy for one prefix. It answers 404 anywhere else, so a link that leaves the prefix is found."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if not f"{self.path}/".startswith(f"{PREFIX}/"):
                self.reply(404, [], b"outside the prefix")
                return
            path = (self.path.removeprefix(PREFIX) or "/") if strip else self.path
            fields = {name: value for name, value in self.headers.items() if name.lower() not in HOP}
            if forwarded is not None:
                fields["X-Forwarded-Prefix"] = forwarded
            upstream = http.client.HTTPConnection(urlsplit(target).netloc)
            upstream.request(self.command, path, body or None, fields)
            answer = upstream.getresponse()
            kept = [(name, value) for name, value in answer.getheaders() if name.lower() not in HOP]
            self.reply(answer.status, kept, answer.read())
            upstream.close()

        def reply(self, status: int, fields: list[tuple[str, str]], body: bytes) -> None:
            self.send_response(status)
            for name, value in [*fields, ("Content-Length", str(len(body)))]:
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = pass_on  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
