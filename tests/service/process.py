"""The service as a real process on a free port."""

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
        end = time.monotonic() + limit_s
        while words not in (text := str(self)):
            assert time.monotonic() < end, f"not in the log after {limit_s:g} s: {words}\n{text}"
            time.sleep(0.02)
        return text


@contextmanager
def running(repository: Path, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str, Log]]:
    """Start ``python -m service``; yield the process, its address and its log."""
    variables = os.environ | {"RETINA_MODEL_REPOSITORY": str(repository), "RETINA_PORT": "0"} | environment
    with tempfile.NamedTemporaryFile(prefix="service-", suffix=".log") as file:
        log = Log(Path(file.name))
        command = [sys.executable, "-m", "service"]
        process = subprocess.Popen(command, cwd=ROOT, env=variables, stderr=file, text=True)
        try:
            yield process, address_of(process, log), log
        finally:
            process.kill()
            process.wait(10)


def address_of(process: subprocess.Popen[str], log: Log) -> str:
    """The address it says it serves at, once it does."""
    end = time.monotonic() + START_LIMIT_S
    while not (found := re.search(r"open (https?://\S+?)/ in a browser", str(log))):
        assert process.poll() is None, f"the service did not start: {log}"
        assert time.monotonic() < end, f"the service has not started after {START_LIMIT_S} s: {log}"
        time.sleep(0.02)
    return found[1].replace("localhost", "127.0.0.1")
