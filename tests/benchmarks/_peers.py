"""The servers that this service is compared with: how each is installed, started and asked."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from tests.benchmarks._bodies import (
    kserve_requests,
    litserve_requests,
    mlserver_requests,
    plain_requests,
    pytriton_requests,
)
from tests.benchmarks._load import Request
from tests.benchmarks._processes import tree
from tests.ports import free_port
from tests.service.process import ROOT

FOLDER = Path(__file__).parent / "peers"
SECONDS_TO_START = 90


class PeerError(Exception):
    """A peer that can't be installed or started; the text is the last line of what it said."""


@dataclass(frozen=True)
class Peer:
    """A server that answers over HTTP."""

    requests: Callable[[str, int], dict[str, Request]]
    """From the address and the size of the images to the bodies of each kind."""
    ready: str
    """Path that answers 200 once the model is loaded."""
    command: tuple[str, ...] = ()
    """Program of the environment and its arguments; without it ``python with_<name>.py``."""
    python: str = sys.executable


PEERS = {
    "fastapi": Peer(plain_requests, "/openapi.json", ("uvicorn", "with_fastapi:app", "--port", "{port}")),
    "litserve": Peer(litserve_requests, "/health"),
    "bentoml": Peer(
        plain_requests,
        "/readyz",
        ("bentoml", "serve", "with_bentoml:Classifier", "--port", "{port}", "--host", "127.0.0.1"),
    ),
    "mlserver": Peer(mlserver_requests, "/v2/health/ready"),
    "kserve": Peer(kserve_requests, "/v2/models/srm/ready"),
    # Its Python backend needs a shared libpython: a distribution's Python has it.
    "pytriton": Peer(pytriton_requests, "/v2/models/srm_tensor/ready", python="/usr/bin/python3.11"),
}


def install(name: str, folder: Path) -> None:
    """Make the peer's environment, unless it is there for the same requirements.

    Raises:
        PeerError: with the last line of what pip said.
    """
    environment, requirements = folder / name, FOLDER / f"{name}.txt"
    stamp = environment / "installed.txt"
    if stamp.is_file() and stamp.read_text() == requirements.read_text():
        return
    print(f"installing {name} into {environment}", flush=True)
    run_quietly(PEERS[name].python, "-m", "venv", "--clear", str(environment))
    pip = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement", str(requirements))
    run_quietly(str(environment / "bin" / "python"), *pip)
    stamp.write_text(requirements.read_text())


def run_quietly(*command: str) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except OSError as error:
        raise PeerError(str(error)) from None
    except subprocess.CalledProcessError as error:
        raise PeerError(last_line(error.stderr or error.stdout)) from None


def last_line(text: str) -> str:
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "it said nothing")


@contextmanager
def started(name: str, folder: Path, package: Path) -> Iterator[tuple[int, str]]:
    """Install and start a peer; yield its process and address once it is ready.

    Raises:
        PeerError: if it can't be installed, ends, or is not ready in time.
    """
    install(name, folder)
    program, *arguments = PEERS[name].command or ("python", str(FOLDER / f"with_{name}.py"))
    programs = folder / name / "bin"
    variables = {"PEER_MODEL": str(package), "PYTHONPATH": str(FOLDER), "PATH": f"{programs}:{os.environ['PATH']}"}
    command = (str(programs / program), *arguments)
    with launched(command, variables, "PEER_PORT", PEERS[name].ready, folder, folder / f"{name}.log") as found:
        yield found


@contextmanager
def service(folder: Path, package: Path) -> Iterator[tuple[int, str]]:
    """Start this service like a peer, with its default settings; yield its process and address once it is ready.

    Raises:
        PeerError: if it ends or is not ready in time.
    """
    variables = {"RETINA_MODEL_REPOSITORY": str(package.parents[2])}
    command = (sys.executable, "-m", "service")
    with launched(command, variables, "RETINA_PORT", "/v2/health/ready", ROOT, folder / "service.log") as found:
        yield found


@contextmanager
def launched(
    command: tuple[str, ...], variables: dict[str, str], port_variable: str, ready: str, folder: Path, log: Path
) -> Iterator[tuple[int, str]]:
    """Start a server on a free port, with its log in a file, as it comes: a reader here would slow the load down."""
    port = free_port()
    with log.open("w") as stream:
        process = subprocess.Popen(
            [part.format(port=port) for part in command],
            cwd=folder,
            env=os.environ | variables | {port_variable: str(port)},
            stdout=stream,
            stderr=stream,
        )
    try:
        address = f"http://127.0.0.1:{port}"
        wait_until_ready(process, address + ready, log)
        yield process.pid, address
    finally:
        stop(process)


def wait_until_ready(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    end = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < end:
        if process.poll() is not None:
            raise PeerError(last_line(log.read_text(errors="replace")))
        try:
            with urlopen(address, timeout=2):
                return
        except (URLError, OSError):
            time.sleep(0.2)
    raise PeerError(f"not ready after {SECONDS_TO_START} s: {last_line(log.read_text(errors='replace'))}")


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ask the server to end, then end what is left of its tree."""
    members = tree(process.pid)
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for member in members - {process.pid}:
        try:
            os.kill(member, signal.SIGKILL)
        except ProcessLookupError:
            continue
