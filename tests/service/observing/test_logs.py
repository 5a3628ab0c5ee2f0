"""The log of a real process: one JSON object a line, with what happened and nothing of a patient."""

import json
from pathlib import Path
from typing import Any

import httpx

from tests.conftest import ImageMaker
from tests.service.process import Log, running

SECRET = "MILLER-19520103"


def test_a_line_for_each_request(repository: Path, make_image: ImageMaker) -> None:
    with running(repository, RETINA_LOG_FORMAT="json") as (process, address, log):
        image = make_image()
        with httpx.Client(base_url=address) as client:
            files = [("file", (f"{SECRET}.png", image)), ("file", (f"{SECRET}-2.png", image))]
            sent = {"X-Request-ID": "a-request"}
            answer = client.post("/v1/models/colour/predict", files=files, headers=sent)
            assert answer.headers["X-Request-ID"] == "a-request"
            client.post(f"/v1/models/colour/predict?patient={SECRET}", content=image)
            client.post(f"/v1/models/{SECRET}/predict", content=image)
            client.get(f"/{SECRET}", headers={"User-Agent": SECRET})
            client.get("/v2/health/live")
        process.terminate()
        assert process.wait(20) == 0
        assert SECRET not in str(log)
        for line in log:
            assert {"timestamp", "level", "logger", "message"} <= json.loads(line).keys(), line
        first, second, third, fourth = requests(log)
    assert first["request_id"] == "a-request"
    assert (first["model"], first["version"], first["images"]) == ("colour", "2", 2)
    assert (first["method"], first["status"], first["outcome"]) == ("POST", 200, "ok")
    assert 0 < first["duration_seconds"] < 60
    assert first["route"] == second["route"] == "/v1/models/{model}/predict"
    assert [line["status"] for line in (second, third, fourth)] == [422, 404, 404]
    assert {line["outcome"] for line in (second, third, fourth)} == {"client_error"}
    assert fourth["route"] == "(unmatched)"


def requests(log: Log) -> list[dict[str, Any]]:
    return [line for text in log if text.startswith("{") and "route" in (line := json.loads(text))]
