"""Several processes that serve as one: started, watched, started again, ended.

The supervisor binds the port and gives the listening socket to every worker. A connection waits in the socket until a
worker takes it, so the death of a worker loses only the requests that it had taken.
"""

import asyncio
import fcntl
import json
import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from service.observing import logs
from service.observing.native import STDERR
from service.server import announce, bind, check_grpc_port
from service.settings import Settings, SettingsError
from service.settings.times import longest_request_s
from service.storage.mirror import Mirror, mirror_of
from service.workers import limits
from service.workers.agreement import Agreement
from service.workers.channel import Channel, GoneError
from service.workers.metrics import Restarts, forget_worker
from service.workers.places import Place
from service.workers.seat import Seat

logger = logging.getLogger(__name__)
MEMORY = Path("/dev/shm")
PREFIX, LOCK = "retina-srm-", "lock"
BACKLOG = 2048
FIRST_WAIT_S, LONGEST_WAIT_S = 0.1, 30.0
STEADY_S = 60.0
"""A worker that served so long and dies is started again at once."""


class Process:
    """A worker's process, with its end of the channel."""

    def __init__(
        self, seat: Seat, process: asyncio.subprocess.Process, end: socket.socket, supervisor: "Supervisor"
    ) -> None:
        self.seat = seat
        self.number = seat.index
        self.process = process
        self.end = end
        self.supervisor = supervisor
        self.agreement = supervisor.agreement
        self.channel: Channel | None = None
        self.serving = False
        self.began = time.monotonic()

    async def ask(self, what: str, timeout_s: float | None = None, **content: Any) -> Any:
        """Ask the worker, as :meth:`Channel.ask`."""
        if self.channel is None:
            raise GoneError("it has not begun")
        return await self.channel.ask(what, timeout_s, **content)

    async def run(self) -> int:
        """Answer its questions until it has ended. Return its exit status, below 0 for a signal."""
        self.channel = await Channel.over(self.end, self.handle)
        listening = asyncio.create_task(self.channel.listen())
        status = await self.process.wait()
        self.agreement.left(self)
        listening.cancel()
        return status

    async def handle(self, what: str, content: dict[str, Any]) -> Any:
        match what:
            case "join":
                try:
                    refused = await self.agreement.join(self)
                except GoneError as error:
                    refused = str(error)
                if refused is None:
                    self.serving = True
                    self.supervisor.serves()
                return {"refused": refused}
            case "load":
                return await self.agreement.load(content["model"])
            case "unload":
                return await self.agreement.unload(content["model"])
        raise ValueError(f"no question: {what}")


class Supervisor:
    """The workers of one service."""

    def __init__(
        self,
        settings: Settings,
        found: Sequence[Place],
        folder: Path,
        sockets: list[socket.socket],
        stderr: int,
        mirror: Mirror | None = None,
    ) -> None:
        self.settings = settings
        self.places = found
        self.stderr = stderr
        self.folder = folder
        self.sockets = sockets
        self.agreement = Agreement(mirror)
        self.restarts = Restarts(folder)
        self.running: dict[int, Process] = {}
        self.ending = asyncio.Event()
        self.first_serves = asyncio.Event()
        self.announced = False
        self.signals = 0

    async def run(self) -> int:
        """Serve until SIGTERM or SIGINT. Return the exit status.

        The first worker makes what the others find, such as the records' database. Without it the service can't start.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.end, number)
        first = asyncio.create_task(self.keep(0, vital=True))
        begun = asyncio.create_task(self.first_serves.wait())
        await asyncio.wait({first, begun}, return_when=asyncio.FIRST_COMPLETED)
        if not begun.done():
            begun.cancel()
            return await first or 0
        for bound in self.sockets:
            bound.listen(BACKLOG)
        keeping = [first, *(asyncio.create_task(self.keep(index)) for index in range(1, len(self.places)))]
        polling = asyncio.create_task(self.poll()) if self.settings.repository_poll_seconds else None
        await asyncio.gather(*keeping)
        if polling is not None:
            polling.cancel()
        return 0

    def serves(self) -> None:
        """A worker has begun to serve. Once all do for the first time, say where the service is."""
        self.first_serves.set()
        if not self.announced and len(self.agreement.workers) == len(self.places):
            self.announced = True
            logger.info("%d workers serve", len(self.places))
            for bound in self.sockets:
                announce(bound, self.settings)

    async def poll(self) -> None:
        """Let the workers look into the repository again and again."""
        while True:
            await asyncio.sleep(self.settings.repository_poll_seconds)
            try:
                await self.agreement.poll()
            except Exception:  # the next scan may succeed, and the served models are not changed
                logger.exception("looking for new models in %s failed", self.settings.model_repository)

    async def keep(self, index: int, *, vital: bool = False) -> int | None:
        """Run a worker until the service ends, and start it again whenever it dies.

        Args:
            vital: Whether to return its exit status if it ends before it has served.
        """
        wait = 0.0
        while not self.ending.is_set():
            worker = await self.start(index)
            status = await worker.run()
            del self.running[index]
            forget_worker(self.folder, index)
            limits.clear(self.settings, worker.seat)
            if self.ending.is_set():
                break
            if vital and not worker.serving:
                return status
            vital = False
            self.restarts.count()
            served = time.monotonic() - worker.began
            wait = 0.0 if served > STEADY_S else min(max(2 * wait, FIRST_WAIT_S), LONGEST_WAIT_S)
            logger.critical("worker %d ended (%s) and starts again in %.1f s", index, in_words(status), wait)
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self.ending.wait()
        return None

    async def start(self, index: int) -> Process:
        """Start a worker's process."""
        seat, place = Seat(index, len(self.places), self.folder), self.places[index]
        ours, theirs = socket.socketpair()
        descriptors = [bound.fileno() for bound in self.sockets]
        task = {
            "index": index,
            "count": seat.count,
            "folder": str(self.folder),
            "threads": place.threads,
            "cpus": None if place.cpus is None else sorted(place.cpus),
            "device": place.device,
            "sockets": descriptors,
            "channel": theirs.fileno(),
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "service", "worker", json.dumps(task),
            pass_fds=[*descriptors, theirs.fileno()],
            env=self.environment(),
            stderr=self.stderr,
            start_new_session=True,  # Ctrl-C in a terminal reaches the supervisor alone, which passes it on
        )  # fmt: skip
        theirs.close()
        worker = self.running[index] = Process(seat, process, ours, self)
        if self.ending.is_set():  # the signal came while the process began
            process.terminate()
        return worker

    def environment(self) -> dict[str, str]:
        """The environment of a worker: the settings as the command line changed them."""
        settings = self.settings
        changed = {
            "RETINA_HOST": settings.host,
            "RETINA_PORT": str(settings.port),
            "RETINA_MODEL_REPOSITORY": str(settings.model_repository),
            "RETINA_PROVIDER": settings.provider,
        }
        return os.environ | changed

    def end(self, number: int) -> None:
        """Pass a signal on. After the time that the requests in flight may take, end what is left."""
        self.signals += 1
        self.ending.set()
        for worker in self.running.values():
            if worker.process.returncode is None:
                worker.process.send_signal(signal.SIGINT if self.signals > 1 else number)
        if self.signals == 1:
            settings = self.settings
            longest = settings.drain_seconds + longest_request_s(settings) + 10
            asyncio.get_running_loop().call_later(longest, self.kill)

    def kill(self) -> None:
        for worker in self.running.values():
            if worker.process.returncode is None:
                logger.error("worker %d did not end in time and is killed", worker.number)
                worker.process.kill()


def in_words(status: int) -> str:
    """An exit status."""
    return f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"


@contextmanager
def shared_folder(memory: Path = MEMORY) -> Iterator[Path]:
    """A folder in memory, where there is one, for this user alone and for the time of the service.

    A supervisor that was killed left its folder. Nobody holds the lock in it, so it is removed here.
    """
    where = memory if os.access(memory, os.W_OK) else Path(tempfile.gettempdir())
    for left in where.glob(f"{PREFIX}*"):
        with suppress(OSError), (left / LOCK).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=where))
    try:
        with (folder / LOCK).open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def supervise(settings: Settings, found: Sequence[Place]) -> None:
    """Serve with several workers until SIGTERM or SIGINT.

    Raises:
        SystemExit: with the exit status: 0 after a signal, and otherwise that of the first worker, which says why it
            can't start.
        SettingsError: if the port of gRPC is left open, which the workers could not share; and as :func:`mirror_of`.
        StoreError: as :func:`mirror_of`.
    """
    if settings.grpc_port == 0:
        raise SettingsError("RETINA_GRPC_PORT=0 gives each worker another port: name the port")
    stderr = os.dup(STDERR)  # the workers', before the log catches what libraries write to this process's
    with logs.serving(settings), shared_folder() as folder:
        mirror = mirror_of(settings)
        try:
            sockets = bind(settings.host, settings.port, "RETINA_PORT")
            check_grpc_port(settings)
            status = asyncio.run(Supervisor(settings, found, folder, sockets, stderr, mirror).run())
        except Exception:
            logger.critical("the supervisor ended by an error", exc_info=True)
            raise SystemExit(1) from None
    raise SystemExit(status)
