"""Limits, keys, deadlines and cancellation are those of HTTP."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from tests.service.rpc.calling import Site, files, image, in_flight, pixels, serving, status
from tests.service.security.credentials import add_key
from tests.waiting import until

SLOW = {"RETINA_BATCH_DELAY_MS": "1000"}
"""A lone image waits so long for others."""


def refused(client: triton.InferenceServerClient, **options: Any) -> tuple[str, str]:
    with pytest.raises(InferenceServerException) as caught:
        client.infer("colour", [image(pixels(1))], **options)
    return status(caught.value), str(caught.value.message())


def soon(site: Site, expected: str) -> None:
    """The service has so many requests in flight, before a locked database would have let go of them."""
    until(lambda: in_flight(site) == expected, 4)


def test_overload_timeout_and_cancellation(repository: Path, tmp_path: Path) -> None:
    """The answers wait for a database that another process has locked."""
    database = tmp_path / "records.db"
    records = {"RETINA_RECORDS": "required", "RETINA_RECORDS_URL": f"sqlite:///{database}"}
    with (
        serving(repository, RETINA_MAX_REQUESTS="1", **SLOW, **records) as site,
        triton.InferenceServerClient(site.grpc) as client,
        ThreadPoolExecutor(1) as thread,
        sqlite3.connect(database, isolation_level=None) as other,
    ):
        other.execute("BEGIN IMMEDIATE")
        first = thread.submit(client.infer, "colour", [image(pixels(1))])
        soon(site, "1.0")
        code, text = refused(client)
        assert (code, "1 requests are in flight" in text) == ("UNAVAILABLE", True)
        other.execute("ROLLBACK")
        assert first.result(20).as_numpy("probabilities").shape == (1, 3)

        other.execute("BEGIN IMMEDIATE")
        code, text = refused(client, timeout=200_000)
        assert (code, "within its timeout of 0.2 s" in text) == ("DEADLINE_EXCEEDED", True)
        soon(site, "0.0")

        assert refused(client, client_timeout=0.2)[0] == "DEADLINE_EXCEEDED"
        soon(site, "0.0")

        results: list[Any] = []
        call = client.async_infer("colour", [image(pixels(1))], lambda result, error: results.append(error))
        soon(site, "1.0")
        call.cancel()
        soon(site, "0.0")
        metrics = httpx.get(f"{site.http}/metrics").text
        assert 'retina_queue_length{model="colour",version="2"} 0.0' in metrics
        assert 'retina_rejected_total{reason="too-many-requests"} 1.0' in metrics
        # The service may see the client's deadline pass before the client does.
        timeouts = float(metrics.partition('retina_rejected_total{reason="timeout"} ')[2].split()[0])
        gone = float(metrics.partition('retina_requests_total{model="colour",outcome="disconnected"} ')[2].split()[0])
        assert timeouts + gone == 3
        assert gone >= 1
        other.execute("ROLLBACK")


def test_sizes(repository: Path) -> None:
    with (
        serving(repository, RETINA_MAX_BODY_BYTES="20000", RETINA_MAX_FILES="2") as site,
        triton.InferenceServerClient(site.grpc) as client,
    ):
        with pytest.raises(InferenceServerException, match="1 to 2") as caught:
            client.infer("colour", [image(pixels(3))])
        assert status(caught.value) == "INVALID_ARGUMENT"
        for compression in (None, "gzip"):
            with pytest.raises(InferenceServerException) as caught:
                client.infer("colour", [files(bytes(20_000))], compression_algorithm=compression)
            assert status(caught.value) == "RESOURCE_EXHAUSTED"
        answer = client.infer("colour", [image(np.zeros((2, 32, 32, 3), np.uint8))], compression_algorithm="gzip")
        assert answer.as_numpy("probabilities").shape == (2, 3)


def test_keys(repository: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    environment = {
        "RETINA_KEYS_FILE": str(keys),
        "RETINA_RATE_LIMIT": "0.01",
        "RETINA_RATE_BURST": "4",
        "RETINA_TRUSTED_PROXIES": "127.0.0.1",
    }
    predict, scrape = add_key(keys, "clinic", "predict"), add_key(keys, "scraper", "metrics")
    with (
        serving(repository, **environment) as site,
        triton.InferenceServerClient(site.grpc) as client,
    ):

        def of(key: str) -> dict[str, Any]:
            return {"headers": {"authorization": f"Bearer {key}"}}

        assert client.is_server_live()
        assert client.is_server_ready()
        assert refused(client)[0] == "UNAUTHENTICATED"
        code, text = refused(client, **of("wrong"))
        assert (code, "the key is missing or wrong" in text) == ("UNAUTHENTICATED", True)
        code, text = refused(client, **of(scrape))
        assert (code, "scraper does not have the scope predict" in text) == ("PERMISSION_DENIED", True)
        with pytest.raises(InferenceServerException) as caught:
            client.get_model_repository_index(**of(predict))
        assert status(caught.value) == "PERMISSION_DENIED"
        with pytest.raises(InferenceServerException) as caught:
            client.get_model_metadata("colour")
        assert status(caught.value) == "UNAUTHENTICATED"
        for _ in range(4):
            client.infer("colour", [image(pixels(1))], **of(predict))
        code, text = refused(client, **of(predict))
        assert (code, "requests a second" in text) == ("RESOURCE_EXHAUSTED", True)
        forwarded = {"x-forwarded-for": "203.0.113.9", "authorization": f"Bearer {scrape}"}
        assert refused(client, headers=forwarded)[0] == "PERMISSION_DENIED"
        log = site.log.wait_for("refused gRPC ModelInfer from 203.0.113.9: scraper")
        assert "refused gRPC ModelInfer from 127.0.0.1: scraper does not have the scope predict" in log
        assert predict not in log
