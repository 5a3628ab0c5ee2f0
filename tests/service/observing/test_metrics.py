"""The metrics are Prometheus's, and count what happened."""

import time

from fastapi.testclient import TestClient

from tests.conftest import ImageMaker


def test_metrics_are_prometheus(client: TestClient, make_image: ImageMaker) -> None:
    from prometheus_client.parser import text_string_to_metric_families

    client.post("/v1/models/colour/predict", files=[("f", make_image()), ("f", make_image())])
    client.post("/v1/models/colour/predict", content=b"no image")
    client.post("/v1/models/none-such/predict", content=b"no image")
    families = {f.name: f for f in text_string_to_metric_families(client.get("/metrics").text)}
    outcomes = {
        (s.labels["model"], s.labels["outcome"]): s.value
        for s in families["retina_requests"].samples
        if s.name.endswith("_total")
    }
    assert outcomes == {("colour", "ok"): 1, ("colour", "client_error"): 1, ("unknown", "client_error"): 1}
    images = {s.labels["model"]: s.value for s in families["retina_images"].samples if s.name.endswith("_total")}
    assert images["colour"] == 2
    info = {
        (s.labels["model"], s.labels["version"]): s.labels["provider"] for s in families["retina_model_info"].samples
    }
    assert info == dict.fromkeys((("colour", "1"), ("colour", "2"), ("grey", "1")), "CPUExecutionProvider")
    loaded = {s.labels["version"]: s.value for s in families["retina_model_loaded_timestamp_seconds"].samples}
    assert all(0 <= time.time() - moment < 600 for moment in loaded.values())
    plans = {s.labels["setting"] for s in families["retina_model_plan"].samples if s.labels["model"] == "grey"}
    assert plans == {"threads", "streams", "stream_threads", "batch"}
    assert families["retina_decode_threads"].samples[0].value >= 2
    for stage in ("decode", "queue", "inference", "encode"):
        counts = [s.value for s in families[f"retina_{stage}_duration_seconds"].samples if s.name.endswith("_count")]
        assert sum(counts) > 0, stage
