"""The service as real processes over a bucket: new, replaced, deleted and broken versions, and a store that is away."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.service.process import ROOT, running
from tests.service.storage.conftest import Bucket, Gate
from tests.waiting import until

KEY = {"Authorization": "Bearer the-key"}
HEADERS = {"Content-Type": "application/octet-stream"} | KEY
SCAN = (ROOT / "service" / "page" / "demo" / "oct.jpeg").read_bytes()


def environment(tmp_path: Path, **changes: str) -> dict[str, str]:
    return {
        "RETINA_MODEL_CACHE": str(tmp_path / "cache"),
        "RETINA_PROVIDER": "cpu",
        "RETINA_THREADS": "1",
        "RETINA_ADMIN_KEY": "the-key",
        "RETINA_REPOSITORY_POLL_SECONDS": "0.2",
    } | changes


def digest(address: str) -> str:
    answer = httpx.post(f"{address}/v1/models/colour/predict", content=SCAN, headers=HEADERS)
    assert answer.status_code == 200
    return str(answer.json()["model"]["digest"])


def served(address: str) -> list[str]:
    [model] = httpx.get(f"{address}/v1/models", headers=KEY).json()["models"]
    return list(model["versions"])


def load(address: str) -> httpx.Response:
    return httpx.post(f"{address}/v2/repository/models/colour/load", headers=KEY, timeout=30)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_what_changes_in_the_bucket_is_served(
    workers: str, bucket: Bucket, contents: list[bytes], tmp_path: Path
) -> None:
    first = bucket.publish("1", contents[0])
    address: Any = bucket.address
    with running(address, **environment(tmp_path, RETINA_WORKERS=workers)) as (process, at, log):
        assert digest(at) == first
        second = bucket.publish("2", contents[1])
        until(lambda: digest(at) == second, 15, lambda: log)
        replaced = bucket.publish("2", contents[2])
        until(lambda: digest(at) == replaced, 15, lambda: log)
        bucket.publish("2", contents[0][:1000], digest="0" * 64)
        log.wait_for("not copied: ")
        assert digest(at) == replaced
        assert load(at).status_code == 400
        assert "upload both again" in load(at).json()["error"]
        for name in ("model.onnx", "model.onnx.sha256"):
            bucket.delete(f"colour/2/{name}")
        until(lambda: {digest(at) for _ in range(4)} == {first}, 15, lambda: log)
        assert str(log).count("copied colour/1 from") == 1  # by one process
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def test_a_load_request_copies_first(bucket: Bucket, contents: list[bytes], tmp_path: Path) -> None:
    bucket.publish("1", contents[0])
    address: Any = bucket.address
    with running(address, **environment(tmp_path, RETINA_REPOSITORY_POLL_SECONDS="0")) as (_, at, _):
        second = bucket.publish("2", contents[1])
        assert load(at).status_code == 200
        assert digest(at) == second


def test_without_the_store_the_copy_is_served(
    bucket: Bucket, contents: list[bytes], gate: Gate, tmp_path: Path
) -> None:
    first = bucket.publish("1", contents[0])
    address: Any = bucket.address
    with running(address, **environment(tmp_path)) as (process, at, log):
        gate.state = "shut"
        log.wait_for("no new models are copied: ")
        assert digest(at) == first
        gate.state = "open"
        second = bucket.publish("2", contents[1])
        until(lambda: digest(at) == second, 15, lambda: log)
        gate.state = "held"
        time.sleep(0.5)  # a refresh waits for the store
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert time.monotonic() - began < 5
    gate.state = "shut"
    with running(address, **environment(tmp_path)) as (_, at, log):
        assert "the models are the earlier copy of" in str(log)
        assert digest(at) == second
        assert "the-secret" not in str(log)


def command(*arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "service", *arguments],
        cwd=ROOT,
        env=os.environ | changes,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_start_without_store_and_copy_is_one_sentence(
    workers: str, bucket: Bucket, gate: Gate, tmp_path: Path
) -> None:
    gate.state = "shut"
    done = command(
        **environment(tmp_path, RETINA_WORKERS=workers, RETINA_PORT="0", RETINA_MODEL_REPOSITORY=bucket.address)
    )
    assert done.returncode == 1
    assert f"Error: {bucket.address} can't be read: " in done.stderr
    assert "Traceback" not in done.stderr


def test_offline_commands_take_the_address(bucket: Bucket, contents: list[bytes], tmp_path: Path) -> None:
    bucket.publish("1", contents[0])
    scan = str(ROOT / "service" / "page" / "demo" / "oct.jpeg")
    done = command("predict", scan, "--repository", bucket.address, RETINA_MODEL_CACHE=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("file,")
    refused = command("tune", "--repository", bucket.address, RETINA_MODEL_CACHE=str(tmp_path))
    assert refused.returncode == 1
    assert "name the file to write with --output" in refused.stderr
