"""What one hostile caller does, against a service on this machine and for a limited time.

``python -m tests.attacks.hostile NAME ADDRESS KEY SECONDS`` runs one attack in a process of its own.
"""

import asyncio
import io
import os
import struct
import sys
import zlib
from collections.abc import Awaitable, Callable
from contextlib import suppress
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

MODEL = "dr"
Head = Callable[[int, str], bytes]
Attack = Callable[["Target"], Awaitable[None]]


class Target:
    """The service as a hostile caller sees it."""

    def __init__(self, address: str, key: str) -> None:
        place = urlsplit(address)
        assert place.hostname == "127.0.0.1"
        self.host, self.port, self.key = place.hostname, place.port or 80, key

    def head(self, length: int, kind: str = "application/octet-stream") -> bytes:
        return (
            f"POST /v1/models/{MODEL}/predict?activation_map=true HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: Bearer {self.key}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
        ).encode()

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(self.host, self.port)

    async def send(self, request: bytes, *, repeat: bool = True, read: bool = True) -> None:
        """Send a request on a connection again and again, and read the answers or not. Never wait."""
        while True:
            with suppress(OSError):
                reader, writer = await self.connect()
                try:
                    while True:
                        writer.write(request)
                        await writer.drain()
                        if not repeat or (read and not await self.answer(reader)):
                            break
                    if not repeat:
                        await reader.read()  # until the service closes
                finally:
                    writer.close()
            await asyncio.sleep(0.01)

    async def answer(self, reader: asyncio.StreamReader) -> bool:
        """Read one answer; False if the connection is closed."""
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
        except (asyncio.IncompleteReadError, IndexError):
            return False
        return b"connection: close" not in head


def huge_png(side: int = 7000) -> bytes:
    """A black RGBA picture of 16 bits a channel: 8 bytes a pixel, in a small file."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer, row = zlib.compressobj(9), bytes(1 + 8 * side)
    data = b"".join([*(packer.compress(row) for _ in range(side)), packer.flush()])
    header = struct.pack(">IIBBBBB", side, side, 16, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def noise_png(side: int = 3160) -> bytes:
    """A picture of 30 MB that can't be compressed."""
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)).save(
        stream, "PNG", compress_level=0
    )
    return stream.getvalue()


def form(file: bytes, count: int) -> bytes:
    part = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + file + b"\r\n"
    return part * count + b"--x--\r\n"


def small_jpeg() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (64, 64)).save(stream, "JPEG")
    return stream.getvalue()


async def many(count: int, one: Callable[[], Awaitable[None]]) -> None:
    await asyncio.gather(*(one() for _ in range(count)))


async def bodies_of_one_byte(target: Target) -> None:
    await many(64, lambda: target.send(target.head(1_000_000) + b"x", repeat=False))


async def uploads_of_30_mb(target: Target) -> None:
    body = noise_png()
    await many(64, lambda: target.send(target.head(len(body), "image/png") + body))


async def huge_pictures(target: Target) -> None:
    body = form(huge_png(), 16)
    await many(4, lambda: target.send(target.head(len(body), "multipart/form-data; boundary=x") + body))


async def runaway_jpeg_ls(target: Target) -> None:
    from tests.models.preprocessing.corpus import STALLING

    await many(8, lambda: target.send(target.head(len(STALLING)) + STALLING))


async def answers_not_read(target: Target) -> None:
    body = small_jpeg()
    await many(32, lambda: target.send(target.head(len(body)) + body, read=False))


async def half_heads(target: Target) -> None:
    await many(200, lambda: target.send(target.head(10)[:60], repeat=False))


async def retry_at_once(target: Target) -> None:
    body = small_jpeg()
    await many(400, lambda: target.send(target.head(len(body)) + body))


ATTACKS: dict[str, Attack] = {
    attack.__name__: attack
    for attack in (
        bodies_of_one_byte,
        uploads_of_30_mb,
        huge_pictures,
        runaway_jpeg_ls,
        answers_not_read,
        half_heads,
        retry_at_once,
    )
}


async def main(name: str, address: str, key: str, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await ATTACKS[name](Target(address, key))


if __name__ == "__main__":
    os.nice(15)  # it shares its processors with the service, which a real one would not
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4])))
