"""A load of HTTP requests from processes of its own, over connections that stay open, and what it measures.

A client library would take more time for a request than the services under test: here a request is written as bytes,
and of an answer the status, the length and the body's last byte are looked at.
"""

import asyncio
import multiprocessing
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import numpy as np


@dataclass(frozen=True)
class Request:
    """A POST request that is sent over and over."""

    address: str
    """Such as http://127.0.0.1:8000/v1/models/oct/predict."""
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()

    def encoded(self) -> bytes:
        parts = urlsplit(self.address)
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        lines = [f"POST {target} HTTP/1.1", f"Host: {parts.netloc}", f"Content-Length: {len(self.body)}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        return "\r\n".join([*lines, "", ""]).encode() + self.body


@dataclass(frozen=True)
class Measured:
    """What came back within the time."""

    per_second: float
    p50_ms: float
    p99_ms: float
    failed: dict[int, int]
    """Status other than 200 to the number of answers with it."""


def measure(request: Request, connections: int, seconds: float, processes: int = 1) -> Measured:
    """Send the request over and over on so many connections at once, and count what is answered in the time."""
    shares = [connections // processes + (index < connections % processes) for index in range(processes)]
    shares = [share for share in shares if share]
    if len(shares) == 1:
        results: Sequence[tuple[list[float], Counter[int]]] = [drive(request, shares[0], seconds)]
    else:
        context = multiprocessing.get_context("spawn")
        with context.Pool(len(shares)) as pool:
            results = pool.starmap(drive, [(request, share, seconds) for share in shares])
    latencies = np.concatenate([found for found, _ in results])
    if not len(latencies):
        raise RuntimeError(f"no answer within {seconds:g} s from {request.address}")
    p50, p99 = 1000 * np.percentile(latencies, [50, 99])
    return Measured(
        len(latencies) / seconds, float(p50), float(p99), dict(sum((failed for _, failed in results), Counter()))
    )


def drive(request: Request, connections: int, seconds: float) -> tuple[list[float], Counter[int]]:
    """Seconds of each answered request, and the answers with another status than 200, counted by status."""
    return asyncio.run(drive_connections(request, connections, seconds))


async def drive_connections(request: Request, connections: int, seconds: float) -> tuple[list[float], Counter[int]]:
    parts = urlsplit(request.address)
    content = request.encoded()
    latencies: list[float] = []
    failed: Counter[int] = Counter()
    end = time.perf_counter() + seconds

    async def connection() -> None:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port, limit=2**24)
        try:
            while (start := time.perf_counter()) < end:
                writer.write(content)
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                await read_body(reader, head)
                now = time.perf_counter()
                if now > end:
                    return
                if (status := int(head.split(b" ", 2)[1])) == 200:
                    latencies.append(now - start)
                else:
                    failed[status] += 1
        finally:
            writer.close()

    await asyncio.gather(*(connection() for _ in range(connections)))
    return latencies, failed


async def read_body(reader: asyncio.StreamReader, head: bytes) -> None:
    """Read an answer's body, which has a length or comes in chunks. ``head`` is in small letters."""
    if b"\r\ntransfer-encoding: chunked" in head:
        while size := int(await reader.readline(), 16):
            await reader.readexactly(size + 2)
        await reader.readline()
    else:
        await reader.readexactly(int(head.partition(b"\r\ncontent-length:")[2].split(b"\r\n", 1)[0]))
