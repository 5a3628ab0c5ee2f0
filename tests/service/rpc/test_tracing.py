"""A span for each call, in the trace of its metadata."""

from pathlib import Path

import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from tests.conftest import ImageMaker
from tests.service.rpc.calling import SERVICE, files, serving

pytest.importorskip("opentelemetry.sdk")
from tests.service.observing.collecting import collecting, spans
from tests.waiting import until

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SECRET = "MILLER-19520103"


def test_a_span_for_the_call_and_each_stage(repository: Path, make_image: ImageMaker) -> None:
    headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "baggage": f"patient={SECRET}"}
    with collecting() as (endpoint, received):
        environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_BSP_SCHEDULE_DELAY": "100"}
        with serving(repository, **environment) as site, triton.InferenceServerClient(site.grpc) as client:
            client.infer("colour", [files(make_image())], headers=headers)
            with pytest.raises(InferenceServerException):
                client.infer(SECRET, [files(make_image())], headers=headers)
            assert client.is_server_ready()
            until(lambda: len(spans(received)) >= 6, 10)
    found = spans(received)
    calls = [span for span in found if span.parent_span_id.hex() == PARENT]
    assert [span.name for span in calls] == [f"{SERVICE}/ModelInfer"] * 2
    assert {span.trace_id.hex() for span in found} == {TRACE}
    stages = [span for span in found if span not in calls]
    assert {span.name for span in stages} == {"decode", "queue", "run", "encode"}
    assert {span.parent_span_id for span in stages} == {calls[0].span_id}
    assert SECRET.encode() not in b"".join(part.SerializeToString() for part in received)
