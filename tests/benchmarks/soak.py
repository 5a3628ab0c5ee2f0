"""Whether the service's memory stays flat: many requests of every kind, wrong ones too, on both shipped models.

    python -m tests.benchmarks.soak [REQUESTS]

Ends with status 1 if the memory of the process after the last request is more than 5 % above that after the first
fifth. Linux.
"""

import asyncio
import random
import sys

import httpx

from tests.benchmarks._bodies import photograph
from tests.benchmarks._processes import resident_bytes
from tests.service.process import ROOT, running

REQUESTS = 10_000
CONNECTIONS = 16
ALLOWED = 1.05
SIZES = (64, 224, 512, 1024, 1600)


def bodies() -> list[tuple[str, bytes]]:
    """Addresses and bodies: pictures of many sizes, damaged and empty ones."""
    pictures = [photograph(size) for size in SIZES]
    faulty = [pictures[2][:500], b"", b"no picture"]
    paths = [f"/v1/models/{model}/predict{query}" for model in ("dr", "oct") for query in ("", "?activation_map=true")]
    return [(path, body) for path in paths for body in [*pictures, *faulty]]


async def send(address: str, requests: int) -> None:
    """Send so many requests, drawn at random, on several connections."""
    choices, rng, left = bodies(), random.Random(0), iter(range(requests))

    async def connection(client: httpx.AsyncClient) -> None:
        for _ in left:
            path, body = rng.choice(choices)
            answer = await client.post(path, content=body, headers={"Content-Type": "application/octet-stream"})
            if answer.status_code >= 500:
                raise SystemExit(f"{path} answered {answer.status_code}: {answer.text}")

    async with httpx.AsyncClient(base_url=address, timeout=60, trust_env=False) as client:
        await asyncio.gather(*(connection(client) for _ in range(CONNECTIONS)))


def main() -> None:
    requests = int(sys.argv[1]) if len(sys.argv) > 1 else REQUESTS
    with running(ROOT / "models" / "repository", RETINA_LOG_LEVEL="info") as (process, address, _):
        tenths = []
        for _ in range(10):
            asyncio.run(send(address, requests // 10))
            tenths.append(resident_bytes(process.pid))
            print(f"{len(tenths) * requests // 10:>8} requests: {tenths[-1] / 1e6:.0f} MB", flush=True)
    growth = tenths[-1] / tenths[1]
    print(f"at the end / after the first fifth: {growth:.3f} (at most {ALLOWED})")
    sys.exit(growth > ALLOWED)


if __name__ == "__main__":
    main()
