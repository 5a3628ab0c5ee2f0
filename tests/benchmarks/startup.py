"""Process to ready, and memory, of the service on its shipped models.

    python tests/benchmarks/startup.py [ROUNDS]

Prints the median time from starting the process to a 200 from /v2/health/ready, and the peak resident memory after a
prediction with every model (Linux). Ends with status 1 above 2 s or 300 MB.
"""

import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parents[2]
MOST_S, MOST_MB = 2.0, 300


def measure() -> tuple[float, float]:
    """Return seconds to ready and peak resident megabytes of one start."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "service", "--port", "0"], cwd=ROOT, stderr=subprocess.PIPE, text=True, env=os.environ
    )
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if found := re.search(r"open (http://\S+?)/ in a browser", line):
                address = found[1]
                break
        else:
            raise SystemExit("the service did not start")
        httpx.get(f"{address}/v2/health/ready").raise_for_status()
        ready = time.perf_counter() - start
        for model in httpx.get(f"{address}/v1/models").json()["models"]:
            image = httpx.get(address + model["demo"]).content
            httpx.post(f"{address}/v1/models/{model['name']}/predict", content=image).raise_for_status()
        status = Path(f"/proc/{process.pid}/status").read_text()
        peak = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert peak is not None
        return ready, int(peak[1]) / 1000
    finally:
        process.kill()
        process.wait()


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    times, peaks = zip(*(measure() for _ in range(rounds)), strict=True)
    spread = f"{min(times):.2f} to {max(times):.2f}"
    ready, peak = statistics.median(times), statistics.median(peaks)
    print(f"process to ready: median {ready:.2f} s of {rounds} starts ({spread}), at most {MOST_S:g}")
    print(f"peak resident memory: median {peak:.0f} MB, at most {MOST_MB}")
    sys.exit(ready > MOST_S or peak > MOST_MB)


if __name__ == "__main__":
    main()
