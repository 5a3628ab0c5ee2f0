"""Bare ONNX Runtime on tensors ready in memory, in a process of its own: the limit of every server.

    python -m tests.benchmarks._limit model.onnx SIZE

It reads one line of JSON for each measurement, ``{"shared": true, "batch": 4, "seconds": 3}``, and answers with one.
``shared``: one session with a single thread, called from as many threads as there are CPUs. Otherwise: one session
with all threads and one caller.
"""

import json
import os
import subprocess
import sys
import threading
import time
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks._processes import resident_bytes

ROOT = Path(__file__).resolve().parents[2]
OUTPUTS = ("probabilities", "recalibration_weights")
SETTINGS = [{"shared": shared, "batch": batch} for shared in (False, True) for batch in (1, 2, 4, 8, 16)]
LONE = {"shared": False, "batch": 1}
CPUS = len(os.sched_getaffinity(0))


class Limit:
    """The process, and the setting that answered the most images a second."""

    def __init__(self, package: Path, size: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks._limit", str(package), str(size)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.best: dict[str, Any] = LONE
        self.measure({"shared": True, "batch": 1}, 0.5)
        self.memory = resident_bytes(self.process.pid)
        """Bytes, with one session that has run."""

    def choose(self, seconds: float) -> dict[str, float]:
        """Try every setting twice, keep the best, and return the images a second of each."""
        found: dict[str, float] = {}
        for setting in SETTINGS * 2:
            key = f"{'shared, ' if setting['shared'] else ''}batch {setting['batch']}"
            rate = self.measure(setting, seconds)["images/s"]
            if rate > max(found.values(), default=0):
                self.best = setting
            found[key] = max(rate, found.get(key, 0))
        return found

    def measure(self, setting: dict[str, Any], seconds: float) -> dict[str, float]:
        """Images a second, and the median and 99th percentile of a call's milliseconds."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(setting | {"seconds": seconds}) + "\n")
        self.process.stdin.flush()
        return dict(json.loads(self.process.stdout.readline()))

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


def serve(path: str, size: int) -> None:
    """Answer orders until standard input ends. A session is made when it is first asked for."""
    noise = np.random.default_rng(0).integers(0, 256, (16, size, size, 3), dtype=np.uint8)
    for line in sys.stdin:
        order = json.loads(line)
        callers = CPUS if order["shared"] else 1
        session = session_of(path, 1 if order["shared"] else CPUS)
        print(json.dumps(calls(session, noise[: order["batch"]], callers, order["seconds"])), flush=True)


@cache
def session_of(path: str, threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def calls(session: Any, images: np.ndarray, callers: int, seconds: float) -> dict[str, float]:
    """Run the same images over and over from some threads."""
    times: list[float] = []
    begin = time.perf_counter()

    def call() -> None:
        while (start := time.perf_counter()) < begin + seconds:
            session.run(OUTPUTS, {"image": images})
            times.append(time.perf_counter() - start)

    threads = [threading.Thread(target=call) for _ in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rate = len(times) * len(images) / (time.perf_counter() - begin)
    p50, p99 = 1000 * np.percentile(times, [50, 99])
    return {"images/s": rate, "p50 ms": p50, "p99 ms": p99}


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
