"""Several workers as real processes: they share a port, and the death of one loses only its own requests."""

import http.client
import os
import random
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from service.settings import SHIPPED_REPOSITORY
from service.workers.supervisor import shared_folder
from tests.service.process import ROOT, Log, running
from tests.service.workers.connections import Connection, workers_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
SCAN = (ROOT / "service" / "page" / "demo" / "oct.jpeg").read_bytes()
HEADERS = {"Content-Type": "application/octet-stream"}
KILLS = int(os.environ.get("WORKER_KILLS", "3"))


@pytest.fixture
def two(repository: Path) -> Iterator[tuple[subprocess.Popen[str], str, Log]]:
    with running(repository, RETINA_PROVIDER="cpu", RETINA_WORKERS="2") as (process, address, log):
        yield process, address, log


def port_of(address: str) -> int:
    return int(address.rpartition(":")[2])


def wait_for_workers(process: subprocess.Popen[str], count: int, log: Log, killed: Sequence[int] = ()) -> list[int]:
    for _ in range(600):
        found = workers_of(process.pid)
        if len(found) == count and not set(found) & set(killed):
            return found
        time.sleep(0.05)
    raise AssertionError(str(log))


def test_all_workers_take_connections_of_one_port(two: tuple[subprocess.Popen[str], str, Log]) -> None:
    process, address, log = two
    workers = wait_for_workers(process, 2, log)
    seen = set()
    for _ in range(200):
        connection = Connection(port_of(address))
        connection.request("GET", "/v2/health/ready")
        assert connection.getresponse().status == 200
        seen.add(connection.worker)
        connection.close()
        if seen == set(workers):
            break
    assert seen == set(workers)
    if len(os.sched_getaffinity(0)) >= 2:
        masks = [os.sched_getaffinity(worker) for worker in workers]
        assert masks[0].isdisjoint(masks[1])


class Caller(threading.Thread):
    """Sends requests one after another on a connection of its own, and notes which worker had those that failed."""

    def __init__(self, port: int, path: str, body: bytes | None) -> None:
        super().__init__(daemon=True)
        self.connection, self.path, self.body = Connection(port), path, body
        self.answered = 0
        self.wrong: list[int] = []
        self.lost: list[int] = []
        """The workers of the connections on which no answer came, where one was seen."""
        self.unseen: list[float] = []
        """When a connection was lost whose worker ended before it was seen."""
        self.stopping = threading.Event()

    def run(self) -> None:
        connection = self.connection
        while not self.stopping.is_set():
            try:
                if connection.sock is None:
                    connection.connect()
                connection.request("GET" if self.body is None else "POST", self.path, self.body, HEADERS)
                response = connection.getresponse()
                response.read()
                if response.status == 200:
                    self.answered += 1
                else:
                    self.wrong.append(response.status)
                if self.body is None:  # a new connection for each, as a probe has
                    connection.close()
            except (OSError, http.client.HTTPException):
                if connection.worker:
                    self.lost.append(connection.worker)
                else:
                    self.unseen.append(time.monotonic())
                connection.close()


def test_a_killed_worker_loses_only_its_own_requests() -> None:
    with running(SHIPPED_REPOSITORY, RETINA_PROVIDER="cpu", RETINA_WORKERS="2") as (process, address, log):
        port = port_of(address)
        callers = [Caller(port, "/v1/models/oct/predict?weights=none", SCAN) for _ in range(6)]
        probe = Caller(port, "/v2/health/ready", None)
        for caller in (*callers, probe):
            caller.start()
        killed: list[int] = []
        kills: list[float] = []
        chance = random.Random(0)
        for _ in range(KILLS):
            workers = wait_for_workers(process, 2, log, killed)
            time.sleep(chance.uniform(0.3, 1.0))
            serving = [worker for worker in workers if any(caller.connection.worker == worker for caller in callers)]
            killed.append(chance.choice(serving or workers))
            kills.append(time.monotonic())
            os.kill(killed[-1], signal.SIGKILL)
        wait_for_workers(process, 2, log, killed)
        before = [caller.answered for caller in callers]
        time.sleep(1)
        for caller in (*callers, probe):
            caller.stopping.set()
        for caller in (*callers, probe):
            caller.join(70)
        assert all(caller.answered > at for caller, at in zip(callers, before, strict=True))
        for caller in (*callers, probe):
            assert not caller.wrong
            assert set(caller.lost) <= set(killed)
            assert len(caller.lost) + len(caller.unseen) <= len(killed)
            assert all(any(0 <= lost - kill < 1 for kill in kills) for lost in caller.unseen)
        assert sum(len(caller.lost) for caller in callers) > 0, "no request was in flight when a worker was killed"
        assert probe.answered > 10
        assert str(log).count("killed by SIGKILL") == KILLS
        for _ in range(200):  # a process counts as a worker when it has begun to serve
            told = httpx.get(f"{address}/metrics").text
            if "\nretina_workers 2.0\n" in told:
                break
            time.sleep(0.05)
        for series in (
            f"retina_worker_restarts_total {KILLS}.0",
            "retina_workers 2.0",
            "retina_in_flight_requests 0.0",
        ):
            assert f"\n{series}\n" in told


def test_no_answer_without_its_record_though_workers_share_the_file_and_die(repository: Path, tmp_path: Path) -> None:
    database = tmp_path / "records.db"
    records = {"RETINA_RECORDS": "required", "RETINA_RECORDS_URL": f"sqlite:///{database}"}
    with running(repository, RETINA_PROVIDER="cpu", RETINA_WORKERS="2", **records) as (process, address, log):
        workers = wait_for_workers(process, 2, log)
        callers = [Caller(port_of(address), "/v1/models/grey/predict", SCAN) for _ in range(4)]
        for caller in callers:
            caller.start()
        time.sleep(1)
        os.kill(workers[1], signal.SIGKILL)
        wait_for_workers(process, 2, log, workers[1:])
        time.sleep(2)
        for caller in callers:
            caller.stopping.set()
        for caller in callers:
            caller.join(30)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    answered = sum(caller.answered for caller in callers)
    lost = sum(len(caller.lost) + len(caller.unseen) for caller in callers)
    with closing(sqlite3.connect(database)) as connection:
        [[kept]] = connection.execute("SELECT count(*) FROM predictions")
    assert not any(caller.wrong for caller in callers)
    assert answered > 20
    assert answered <= kept <= answered + lost


def test_sigterm_ends_all_and_loses_nothing() -> None:
    with running(SHIPPED_REPOSITORY, RETINA_PROVIDER="cpu", RETINA_WORKERS="2", RETINA_DRAIN_SECONDS="5") as served:
        process, address, log = served
        workers = wait_for_workers(process, 2, log)
        callers = [Caller(port_of(address), "/v1/models/oct/predict?weights=none", SCAN) for _ in range(4)]
        for caller in callers:
            caller.start()
        time.sleep(1)
        process.send_signal(signal.SIGTERM)
        while httpx.get(f"{address}/v2/health/ready").status_code != 503:
            time.sleep(0.05)  # for RETINA_DRAIN_SECONDS; then no connection is taken any more
        for caller in callers:
            caller.stopping.set()
        assert process.wait(20) == 0
        for caller in callers:
            caller.join(30)
            assert caller.answered > 0
            assert not caller.lost
            assert not caller.unseen
        assert not any(Path(f"/proc/{worker}").exists() for worker in workers)


def test_the_workers_end_with_their_supervisor(two: tuple[subprocess.Popen[str], str, Log]) -> None:
    process, _, log = two
    workers = wait_for_workers(process, 2, log)
    process.kill()
    for _ in range(200):
        if not any(Path(f"/proc/{worker}").exists() for worker in workers):
            break
        time.sleep(0.05)
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers)


def test_models_are_loaded_and_unloaded_by_all(folder: Path) -> None:
    keys = {"RETINA_ADMIN_KEY": "k" * 40, "RETINA_PROVIDER": "cpu", "RETINA_WORKERS": "2"}
    with running(folder, **keys) as (process, address, log):
        workers = wait_for_workers(process, 2, log)
        admin = {"Authorization": "Bearer " + "k" * 40}

        def everywhere(path: str, method: str = "GET") -> set[tuple[int, str]]:
            """The answers of both workers."""
            found: dict[int, tuple[int, str]] = {}
            for _ in range(300):
                connection = Connection(port_of(address))
                connection.request(method, path, headers=admin)
                response = connection.getresponse()
                found[connection.worker] = response.status, response.read().decode()
                connection.close()
                if found.keys() == set(workers):
                    return set(found.values())
            raise AssertionError("one worker takes no connections")

        assert {status for status, _ in everywhere("/v2/models/colour")} == {200}
        assert httpx.post(f"{address}/v2/repository/models/colour/unload", headers=admin).is_success
        assert {status for status, _ in everywhere("/v2/models/colour")} == {404}
        # A worker that takes the place of a dead one does not bring it back.
        os.kill(workers[0], signal.SIGKILL)
        workers = wait_for_workers(process, 2, log, workers[:1])
        assert {status for status, _ in everywhere("/v2/models/colour")} == {404}
        assert httpx.post(f"{address}/v2/repository/models/colour/load", headers=admin).is_success
        assert {status for status, _ in everywhere("/v2/models/colour")} == {200}
        assert httpx.post(f"{address}/v2/repository/models/nobody/load", headers=admin).status_code == 404
        (folder / "colour" / "2").mkdir()
        (folder / "colour" / "2" / "model.onnx").write_bytes(b"broken")
        refused = httpx.post(f"{address}/v2/repository/models/colour/load", headers=admin)
        assert refused.status_code == 400
        assert "not a whole ONNX file" in refused.text
        [index] = everywhere("/v2/repository/index", "POST")
        assert "not a whole ONNX file" in index[1]
        assert {status for status, _ in everywhere("/v2/models/colour")} == {200}


def test_the_folder_of_a_killed_supervisor_is_removed_and_that_of_a_living_one_is_not(tmp_path: Path) -> None:
    left = tmp_path / "retina-srm-left"
    left.mkdir()
    (left / "lock").touch()
    with shared_folder(tmp_path) as first:
        assert not left.exists()
        assert stat.S_IMODE(first.stat().st_mode) == 0o700
        with shared_folder(tmp_path) as second:
            assert first.exists()
        assert not second.exists()
    assert list(tmp_path.iterdir()) == []


def test_a_service_that_cannot_start_says_why(tmp_path: Path) -> None:
    variables = os.environ | {"RETINA_MODEL_REPOSITORY": str(tmp_path), "RETINA_PORT": "0", "RETINA_WORKERS": "2"}
    run = subprocess.run(
        [sys.executable, "-m", "service"], cwd=ROOT, env=variables, capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 1
    assert "holds no model package" in run.stderr
    assert "Traceback" not in run.stderr
