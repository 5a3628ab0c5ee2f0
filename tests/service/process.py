"""The service as a real process on a free port."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def running(repository: Path, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str, list[str]]]:
    """Start ``python -m service``; yield the process, its address and its log, which grows as it goes on."""
    variables = os.environ | {"RETINA_MODEL_REPOSITORY": str(repository), "RETINA_PORT": "0"} | environment
    process = subprocess.Popen(
        [sys.executable, "-m", "service"], cwd=ROOT, env=variables, stderr=subprocess.PIPE, text=True
    )
    stderr = process.stderr
    log: list[str] = []
    assert stderr is not None
    reader = threading.Thread(target=lambda: log.extend(iter(stderr.readline, "")))
    try:
        for line in stderr:
            log.append(line)
            if found := re.search(r"open (https?://\S+?)/ in a browser", line):
                reader.start()
                yield process, found[1].replace("localhost", "127.0.0.1"), log
                break
        else:
            raise AssertionError(f"the service did not start: {''.join(log)}")
    finally:
        process.kill()
        process.wait(10)
        if reader.ident is not None:
            reader.join(10)
        stderr.close()
