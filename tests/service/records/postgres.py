"""A PostgreSQL server of the test's own, as a real process that ends with it."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

START_LIMIT_S = 60


def programs() -> Path:
    """The folder of ``initdb`` and ``postgres``, which Debian keeps off the path; else the test is skipped."""
    found = shutil.which("initdb")
    folders = (
        [Path(found).resolve().parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    )
    for folder in folders:
        if (folder / "initdb").is_file() and (folder / "postgres").is_file():
            return folder
    if os.environ.get("RECORDS_POSTGRES") == "required":
        pytest.fail("PostgreSQL is not installed, and RECORDS_POSTGRES=required")
    pytest.skip("PostgreSQL is not installed: no initdb on the path or in /usr/lib/postgresql")


@contextmanager
def server() -> Iterator[str]:
    """Start a server that listens on a socket alone, and yield what an address needs besides the database's name."""
    folder = Path(tempfile.mkdtemp(prefix="records-"))  # a socket's path may have 107 characters: not in tmp_path
    user = "nobody" if os.geteuid() == 0 else None  # PostgreSQL refuses to run as root
    if user:
        shutil.chown(folder, user)
    binaries, data = programs(), folder / "data"
    try:
        made = subprocess.run(
            [binaries / "initdb", "-D", data, "-U", "retina", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"],
            user=user,
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert made.returncode == 0, made.stderr
        log = (folder / "log").open("w+")
        # The tests kill the service and never this server, so that it need not flush the disk.
        options = [part for option in ("listen_addresses=", "fsync=off") for part in ("-c", option)]
        process = subprocess.Popen(
            [binaries / "postgres", "-D", data, "-k", folder, *options],
            user=user,
            cwd=folder,
            stdout=log,
            stderr=log,
        )
        try:
            wait(f"host={folder} user=retina dbname=postgres", process, folder / "log")
            yield f"user=retina&host={folder}"
        finally:
            process.send_signal(signal.SIGQUIT)  # at once: its files go anyway
            process.wait(30)
            log.close()
    finally:
        shutil.rmtree(folder)


def wait(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            psycopg.connect(address).close()
            return
        except psycopg.OperationalError:
            time.sleep(0.05)
    pytest.fail(f"PostgreSQL did not start: {log.read_text()}")


@contextmanager
def database(options: str) -> Iterator[str]:
    """Make an empty database, yield its address for SQLAlchemy, and drop it."""
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(f"postgresql:///postgres?{options}", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
        yield f"postgresql:///{name}?{options}"
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
