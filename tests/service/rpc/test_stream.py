"""``ModelStreamInfer``: order, errors, the bound, cancellation, and the end of the service."""

import queue
import signal
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.grpc import service_pb2 as pb

from service.rpc.infer import MOST_IN_FLIGHT
from tests.service.packages import by_hand
from tests.service.rpc.calling import SERVICE, Site, image, in_flight, pixels, serving, status

STREAM = f"/{SERVICE}/ModelStreamInfer"


def message(index: int, model: str = "colour") -> bytes:
    request = pb.ModelInferRequest(model_name=model, id=str(index), raw_input_contents=[pixels(1, index).tobytes()])
    request.inputs.add(name="image", datatype="UINT8", shape=[1, 32, 32, 3])
    content: bytes = request.SerializeToString()
    return content


@pytest.fixture(scope="module")
def site(repository: Path) -> Iterator[Site]:
    with serving(repository) as site:
        yield site


def test_answers_in_order_and_errors_in_between(repository: Path, site: Site) -> None:
    found: queue.Queue[tuple[Any, Any]] = queue.Queue()
    package = repository / "colour" / "2" / "model.onnx"
    with triton.InferenceServerClient(site.grpc) as client:
        client.start_stream(lambda result, error: found.put((result, error)))
        sent = [pixels(1, seed) for seed in range(30)]
        for index, one in enumerate(sent):
            name = "nothing" if index % 7 == 3 else "colour"
            client.async_stream_infer(name, [image(one)], request_id=str(index))
        for index, one in enumerate(sent):
            result, error = found.get(timeout=10)
            if index % 7 == 3:
                assert result is None
                assert error.message() == "There is no model 'nothing'; there are: colour, grey"
            else:
                assert error is None
                assert result.get_response().id == str(index)
                np.testing.assert_allclose(result.as_numpy("probabilities"), by_hand(package, one)[0], atol=1e-4)
        client.stop_stream()
        assert found.empty()


def test_a_failed_answer_has_the_id_of_its_request(site: Site) -> None:
    with grpc.insecure_channel(site.grpc) as channel:
        sent = [message(1, "nothing"), b"\xff", message(2)]
        answers = channel.stream_stream(STREAM)(iter(sent), timeout=10)
        parsed = [pb.ModelStreamInferResponse.FromString(answer) for answer in answers]
    assert [answer.infer_response.id for answer in (parsed[0], parsed[2])] == ["1", "2"]
    assert "not a ModelInferRequest" in parsed[1].error_message
    assert (len(parsed), parsed[2].error_message) == (3, "")


def settled(site: Site, expected: str) -> None:
    """So many requests are in flight, soon and for a while."""
    end = time.monotonic() + 4
    while in_flight(site) != expected and time.monotonic() < end:
        time.sleep(0.01)
    time.sleep(0.1)
    assert in_flight(site) == expected


def test_a_stream_has_a_bound_and_cancellation_frees_its_places(repository: Path, tmp_path: Path) -> None:
    """The answers wait for a database that another process has locked."""
    database = tmp_path / "records.db"
    environment = {"RETINA_RECORDS": "required", "RETINA_RECORDS_URL": f"sqlite:///{database}"}
    with (
        serving(repository, **environment) as site,
        grpc.insecure_channel(site.grpc) as channel,
        sqlite3.connect(database, isolation_level=None) as other,
    ):
        other.execute("BEGIN IMMEDIATE")
        sent = iter(message(index) for index in range(3 * MOST_IN_FLIGHT))
        answers = channel.stream_stream(STREAM)(sent, timeout=10)
        settled(site, f"{MOST_IN_FLIGHT}.0")
        answers.cancel()
        settled(site, "0.0")
        other.execute("ROLLBACK")


def test_a_stream_ends_when_the_service_stops(repository: Path) -> None:
    with serving(repository) as site, grpc.insecure_channel(site.grpc) as channel:
        waiting: queue.Queue[bytes | None] = queue.Queue()
        waiting.put(message(0))
        answers = channel.stream_stream(STREAM)(iter(waiting.get, None), timeout=20)
        assert not pb.ModelStreamInferResponse.FromString(next(answers)).error_message
        site.process.send_signal(signal.SIGTERM)
        with pytest.raises(grpc.RpcError, match="The service stops") as caught:
            next(answers)
        assert status(caught.value) == "UNAVAILABLE"
        assert site.process.wait(20) == 0
        waiting.put(None)
