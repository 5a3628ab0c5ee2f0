"""What prediction records cost: the service with records off, on and required, in interleaved rounds.

    python tests/benchmarks/records.py [ROUNDS] [POSTGRESQL_URL]

Three services run side by side, of which one is asked at a time, with JPEG bodies for the shipped `dr` model,
the fastest one, on which records weigh most. The figures are the median of the rounds' ratios to `off`, so that a slow
minute slows all of them. Without a PostgreSQL address, whose schema must be up to date, the database is SQLite.
"""

import asyncio
import os
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import httpx

from tests.service.process import running

ROOT = Path(__file__).resolve().parents[2]
MODES = ("off", "on", "required")
CONNECTIONS = (1, 8, 32)
REQUESTS = 150
PATH = "/v1/models/dr/predict?weights=none"


async def measure(address: str, image: bytes, connections: int) -> tuple[float, float]:
    """Return answers a second and the median latency in seconds."""
    latencies: list[float] = []
    left = iter(range(REQUESTS))

    async def ask(client: httpx.AsyncClient) -> None:
        for _ in left:
            start = time.perf_counter()
            (await client.post(PATH, content=image)).raise_for_status()
            latencies.append(time.perf_counter() - start)

    async with httpx.AsyncClient(base_url=address, timeout=60, trust_env=False) as client:
        await ask_once(client, image)
        start = time.perf_counter()
        await asyncio.gather(*(ask(client) for _ in range(connections)))
        return REQUESTS / (time.perf_counter() - start), statistics.median(latencies)


async def ask_once(client: httpx.AsyncClient, image: bytes) -> None:
    (await client.post(PATH, content=image)).raise_for_status()


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    image = (ROOT / "service" / "page" / "demo" / "dr.jpeg").read_bytes()
    with tempfile.TemporaryDirectory(dir=os.environ.get("RECORDS_FOLDER")) as folder, ExitStack() as stack:
        addresses = {}
        for mode in MODES:
            url = sys.argv[2] if len(sys.argv) > 2 else f"sqlite:///{folder}/{mode}.db"
            started = running(ROOT / "models" / "repository", RETINA_RECORDS=mode, RETINA_RECORDS_URL=url)
            addresses[mode] = stack.enter_context(started)[1]
        print(f"{'connections':>11}{'records':>10}{'req/s':>9}{'p50 ms':>9}{'req/s / off':>13}{'p50 / off':>11}")
        for connections in CONNECTIONS:
            found: dict[str, list[tuple[float, float]]] = {mode: [] for mode in MODES}
            for index in range(rounds):
                for mode in MODES[index % 3 :] + MODES[: index % 3]:
                    found[mode].append(asyncio.run(measure(addresses[mode], image, connections)))
            for mode in MODES:
                rates, medians = zip(*found[mode], strict=True)
                pairs = list(zip(found[mode], found["off"], strict=True))
                rate = statistics.median(ours[0] / off[0] for ours, off in pairs)
                latency = statistics.median(ours[1] / off[1] for ours, off in pairs)
                print(
                    f"{connections:>11}{mode:>10}{statistics.median(rates):>9.0f}"
                    f"{1000 * statistics.median(medians):>9.1f}{rate:>13.2f}{latency:>11.2f}"
                )


if __name__ == "__main__":
    main()
