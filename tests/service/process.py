"""The service as a real process on a free port."""

import os
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.waiting import until

ROOT = Path(__file__).resolve().parents[2]
START_LIMIT_S = 60


class Log:
    """What a process has written to its standard error so far.

    It is a file, so a line that was written before an answer is there once the answer is. What the service writes after
    its answer, such as the line of the request itself, is to be waited for.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __str__(self) -> str:
        return self.path.read_text()

    def __iter__(self) -> Iterator[str]:
        """The whole lines, without their ends."""
        return iter(str(self).rpartition("\n")[0].splitlines())

    def wait_for(self, words: str, limit_s: float = 20) -> str:
        """Return what is written once it has these words."""
        until(lambda: words in str(self), limit_s, lambda: f"{words!r} in\n{self}")
        return str(self)


@contextmanager
def running(
    repository: Path, arguments: Sequence[object] = ("-m", "service"), **environment: str
) -> Iterator[tuple[subprocess.Popen[str], str, Log]]:
    """Start the service by Python with these arguments; yield the process, its address and its log."""
    variables = os.environ | {"RETINA_MODEL_REPOSITORY": str(repository), "RETINA_PORT": "0"} | environment
    with tempfile.NamedTemporaryFile(prefix="service-", suffix=".log") as file:
        log = Log(Path(file.name))
        command = [sys.executable, *map(str, arguments)]
        process = subprocess.Popen(command, cwd=ROOT, env=variables, stderr=file, text=True)
        try:
            yield process, address_of(process, log), log
        finally:
            process.kill()
            process.wait(10)


def address_of(process: subprocess.Popen[str], log: Log) -> str:
    """The address it says it serves at, once it does."""
    words = re.compile(r"open (https?://\S+?)/ in a browser")
    until(lambda: words.search(str(log)) or process.poll() is not None, START_LIMIT_S, lambda: log)
    found = words.search(str(log))
    assert found, f"the service did not start: {log}"
    return found[1].replace("localhost", "127.0.0.1")


def connect(address: str) -> socket.socket:
    """Open a connection to a service."""
    host, port = address.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=10)
