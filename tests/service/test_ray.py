"""The service under Ray Serve: two replicas answer as the service does, and one of them is killed."""

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from tests.conftest import ImageMaker
from tests.ports import free_port
from tests.service.clusters import cluster_of_two

pytest.importorskip("ray")
PREDICT = "/v1/models/colour/predict"
LIMIT_S = 120
PNG = {"Content-Type": "image/png"}


def numbers(value: Any) -> list[float]:
    """Every number in a part of an answer, in order."""
    if isinstance(value, dict):
        return [number for one in value.values() for number in numbers(one)]
    if isinstance(value, list):
        return [number for one in value for number in numbers(one)]
    return [value] if isinstance(value, float) else []


@pytest.fixture(scope="module")
def address(repository: Path) -> Iterator[str]:
    with cluster_of_two():
        from ray import serve

        from service.ray import Arguments, build

        port = free_port()
        serve.start(http_options={"host": "127.0.0.1", "port": port})
        settings = {"model_repository": str(repository), "auth": "none", "provider": "cpu"}
        serve.run(build(Arguments(min_replicas=2, max_replicas=2, num_cpus=0.5, settings=settings)))
        yield f"http://127.0.0.1:{port}"
        serve.shutdown()


def replicas() -> set[int]:
    """The processes of the replicas."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if path.read_bytes().startswith(b"ray::ServeReplica:default:retina-srm"):
                found.add(int(path.parent.name))
    return found


def test_answers_are_the_service_s(address: str, client: TestClient, make_image: ImageMaker) -> None:
    content = make_image()
    found = httpx.post(address + PREDICT, content=content).raise_for_status().json()
    expected = client.post(PREDICT, content=content).json()
    assert found.keys() == expected.keys()
    assert found["model"] == expected["model"]
    [mine], [other] = found["predictions"], expected["predictions"]
    assert mine.keys() == other.keys()
    for name in ("probabilities", "recalibration_weights"):
        assert numbers(mine[name]) == pytest.approx(numbers(other[name]), abs=1e-5)
    refused = httpx.post(address + PREDICT, content=b"x", headers=PNG)
    assert refused.status_code == client.post(PREDICT, content=b"x", headers=PNG).status_code
    assert refused.headers["content-type"] == "application/problem+json"
    assert httpx.get(f"{address}/v2/health/ready").status_code == 200


def test_a_killed_replica_is_replaced_and_the_other_answers(address: str, make_image: ImageMaker) -> None:
    content, before = make_image(), replicas()
    assert len(before) == 2
    os.kill(min(before), signal.SIGKILL)
    statuses = Counter[int]()
    end = time.monotonic() + LIMIT_S
    while not replicas() - before or sum(statuses.values()) < 20:
        assert time.monotonic() < end, statuses
        statuses[httpx.post(address + PREDICT, content=content, timeout=30).status_code] += 1
    assert statuses[200] >= 20
    assert sum(statuses.values()) - statuses[200] <= 1, "what the dead one had taken"
