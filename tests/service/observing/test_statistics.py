"""What the protocol tells of each model: requests, images and batches."""

import numpy as np
from fastapi.testclient import TestClient
from numpy.typing import NDArray

from tests.service.routes.infer_messages import INFER, binary


def test_statistics_count_requests_images_and_batches(client: TestClient, pixels: NDArray[np.uint8]) -> None:
    body, headers = binary(pixels)
    for _ in range(2):
        client.post(INFER, content=body, headers=headers)
    client.post(INFER, content=b"nonsense")
    stats = {(s["name"], s["version"]): s for s in client.get("/v2/models/stats").json()["model_stats"]}
    assert list(stats) == [("colour", "1"), ("colour", "2"), ("grey", "1")]
    asked = stats["colour", "2"]
    assert asked["inference_count"] == 6
    assert asked["execution_count"] == sum(b["compute_infer"]["count"] for b in asked["batch_stats"])
    assert sum(b["batch_size"] * b["compute_infer"]["count"] for b in asked["batch_stats"]) == 6
    assert (asked["inference_stats"]["success"]["count"], asked["inference_stats"]["fail"]["count"]) == (2, 1)
    assert asked["inference_stats"]["success"]["ns"] > asked["inference_stats"]["queue"]["ns"] >= 0
    assert asked["last_inference"] > 1.7e12
    assert stats["grey", "1"]["inference_count"] == stats["grey", "1"]["last_inference"] == 0
