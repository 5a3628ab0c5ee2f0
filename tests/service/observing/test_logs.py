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

            def sent(name: str) -> dict[str, str]:
                return {"X-Request-ID": name}

            answer = client.post("/v1/models/colour/predict", files=files, headers=sent("whole"))
            assert answer.headers["X-Request-ID"] == "whole"
            client.post(f"/v1/models/colour/predict?patient={SECRET}", content=image, headers=sent("unknown-option"))
            client.post(f"/v1/models/{SECRET}/predict", content=image, headers=sent("unknown-model"))
            client.get(f"/{SECRET}", headers={"User-Agent": SECRET} | sent("unknown-path"))
            client.get("/v2/health/live")
        process.terminate()
        assert process.wait(20) == 0
        assert SECRET not in str(log)
        for line in log:
            assert {"timestamp", "level", "logger", "message"} <= json.loads(line).keys(), line
        found = {line["request_id"]: line for line in requests(log)}  # each is written after its answer, in any order
    first, second, third, fourth = (
        found.pop(name) for name in ("whole", "unknown-option", "unknown-model", "unknown-path")
    )
    assert not found, "looks at the health are not written"
    assert (first["model"], first["version"], first["images"]) == ("colour", "2", 2)
    assert (first["method"], first["status"], first["outcome"]) == ("POST", 200, "ok")
    assert 0 < first["duration_seconds"] < 60
    assert first["route"] == second["route"] == "/v1/models/{model}/predict"
    assert [line["status"] for line in (second, third, fourth)] == [422, 404, 404]
    assert {line["outcome"] for line in (second, third, fourth)} == {"client_error"}
    assert fourth["route"] == "(unmatched)"


def requests(log: Log) -> list[dict[str, Any]]:
    return [line for text in log if text.startswith("{") and "route" in (line := json.loads(text))]
