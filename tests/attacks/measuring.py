"""Another caller's requests while one attack runs."""

import io
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import numpy as np
from PIL import Image

from service.settings import SHIPPED_REPOSITORY
from tests.attacks.hostile import MODEL
from tests.service.process import ROOT, running

INTERVAL_S = 0.1


class Service(NamedTuple):
    """A running service, with a key for each of two callers."""

    pid: int
    address: str
    modest: str
    hostile: str


class Measured(NamedTuple):
    """How the requests of the modest caller fared. Times are in ms, memory is in MB."""

    statuses: dict[int, int]
    p50: float
    p99: float
    memory: float


@contextmanager
def serving(folder: Path) -> Iterator[Service]:
    """Run the service with two keys, in ``folder``."""
    file = folder / "keys.json"
    keys = []
    for name in ("modest", "hostile"):
        command = [sys.executable, "-m", "service", "keys", "add", name, "--file", str(file)]
        keys.append(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip())
    with running(SHIPPED_REPOSITORY, RETINA_KEYS_FILE=str(file)) as (process, address, _):
        yield Service(process.pid, address, keys[0], keys[1])


def photograph() -> bytes:
    """A JPEG of 0.1 MB, of 800 x 800 pixels."""
    base = np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(base).resize((800, 800), Image.Resampling.BICUBIC).save(stream, "JPEG", quality=92)
    return stream.getvalue()


def measure(service: Service, seconds: float, attack: str | None = None, warm_s: float = 1.0) -> Measured:
    """Send ten requests a second for a time, alone or during an attack, which ends with it."""
    hostile = None
    if attack is not None:
        command = [sys.executable, "-m", "tests.attacks.hostile", attack, service.address, service.hostile]
        hostile = subprocess.Popen([*command, str(seconds + warm_s + 5)], cwd=ROOT)
        time.sleep(warm_s + 3)  # its files are made first
    (Path("/proc") / str(service.pid) / "clear_refs").write_text("5")  # the peak of memory begins anew
    times, statuses = [], Counter[int]()
    image, headers = photograph(), {"Authorization": f"Bearer {service.modest}"}
    try:
        with httpx.Client(timeout=60, headers=headers) as client:
            ends = time.perf_counter() + seconds
            while (began := time.perf_counter()) < ends:
                answer = client.post(f"{service.address}/v1/models/{MODEL}/predict?weights=none", content=image)
                statuses[answer.status_code] += 1
                times.append(time.perf_counter() - began)
                time.sleep(max(0.0, INTERVAL_S - times[-1]))
    finally:
        if hostile is not None:
            hostile.kill()
            hostile.wait()
    [peak] = [
        line for line in (Path("/proc") / str(service.pid) / "status").read_text().splitlines() if "VmHWM" in line
    ]
    p50, p99 = np.percentile(times, (50, 99)) * 1000
    return Measured(dict(statuses), float(p50), float(p99), int(peak.split()[1]) / 1024)
