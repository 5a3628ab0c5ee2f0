"""Traces of a real process, as a collector that speaks OTLP receives them."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.conftest import ImageMaker
from tests.service.process import running

pytest.importorskip("opentelemetry.sdk")
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.service.observing.collecting import collecting, spans
from tests.waiting import until

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SECRET = "MILLER-19520103"


@pytest.fixture
def collector() -> Iterator[tuple[str, list[ExportTraceServiceRequest]]]:
    with collecting() as found:
        yield found


def test_a_span_for_the_request_and_each_stage(
    repository: Path, make_image: ImageMaker, collector: tuple[str, list[ExportTraceServiceRequest]]
) -> None:
    endpoint, received = collector
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_BSP_SCHEDULE_DELAY": "100"}
    with running(repository, **environment) as (_, address, _log):
        answer = httpx.post(
            f"{address}/v1/models/colour/predict",
            files={"file": (f"{SECRET}.png", make_image())},
            headers={"traceparent": f"00-{TRACE}-{PARENT}-01"},
        )
        httpx.get(f"{address}/{SECRET}")
        httpx.get(f"{address}/v2/health/live")
        assert answer.status_code == 200
        assert answer.headers["traceresponse"].startswith(f"00-{TRACE}-")
        until(lambda: len(spans(received)) >= 6, 10)
    found = [span for span in spans(received) if span.trace_id.hex() == TRACE]
    (request,) = [span for span in found if span.parent_span_id.hex() == PARENT]
    assert request.name == "POST /v1/models/{model}/predict"
    stages = {span.name: span for span in found if span is not request}
    assert stages.keys() == {"decode", "queue", "run", "encode"}
    for span in stages.values():
        assert span.parent_span_id == request.span_id
        assert request.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano
    assert stages["queue"].end_time_unix_nano <= stages["run"].end_time_unix_nano
    assert SECRET.encode() not in b"".join(part.SerializeToString() for part in received)
    assert len(spans(received)) == 6  # the other request's span too, none of the probe


def test_an_exporter_that_is_not_offered(repository: Path) -> None:
    with (
        pytest.raises(AssertionError, match="OTEL_TRACES_EXPORTER=zipkin is not offered"),
        running(repository, OTEL_TRACES_EXPORTER="zipkin"),
    ):
        pass
