"""Unload drains, and a request keeps its model."""

import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from service.inference.runtime import Model
from tests.conftest import ImageMaker
from tests.service.inference.changing import KEY, PREDICT, answered_by, index, look, serving, state, variant, versions
from tests.waiting import until


def test_unload_drains_frees_and_is_undone_by_load(
    folder: Path, make_image: ImageMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, run = threading.Event(), Model.run

    def held_back(model: Model, images: Any) -> Any:
        assert gate.wait(20)
        return run(model, images)

    monkeypatch.setattr(Model, "run", held_back)
    with serving(folder, max_batch_size=1) as client, ThreadPoolExecutor(8) as threads:
        model = weakref.ref(state(client).repository.get("colour"))
        posts = [threads.submit(client.post, PREDICT, content=make_image(seed=seed)) for seed in range(3)]
        until(lambda: len(state(client).predictor.of(model()).batcher.queue) == 2)  # type: ignore[arg-type]
        unload = threads.submit(client.post, "/v2/repository/models/colour/unload", headers=KEY)
        until(lambda: "colour" not in state(client).repository.models)
        assert index(client)["colour", "1"][0] == "UNLOADING"
        for refused in (client.post(PREDICT, content=make_image()), client.get("/v2/models/colour/ready")):
            assert refused.status_code == 404
        assert not unload.done()
        gate.set()
        assert [post.result(20).status_code for post in posts] == [200] * 3
        assert unload.result(20).status_code == 200
        gc.collect()
        assert model() is None
        assert index(client)["colour", "1"] == ("UNAVAILABLE", "unloaded by request; a load request brings it back")
        assert 'version="1"' not in "".join(
            line for line in client.get("/metrics").text.splitlines() if 'model="colour"' in line
        )
        look(client)
        assert versions(client) == []
        assert client.post("/v1/models/grey/predict", content=make_image()).status_code == 200
        assert client.post("/v2/repository/models/colour/load", headers=KEY).status_code == 200
        assert client.post(PREDICT, content=make_image()).status_code == 200


def test_a_request_keeps_the_model_that_it_found(
    folder: Path, make_image: ImageMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, run = threading.Event(), Model.run

    def held_back(model: Model, images: Any) -> Any:
        assert gate.wait(20)
        return run(model, images)

    with serving(folder) as client, ThreadPoolExecutor(2) as threads:
        before = answered_by(client, make_image())
        monkeypatch.setattr(Model, "run", held_back)
        post = threads.submit(client.post, PREDICT, content=make_image())
        until(lambda: state(client).requests.total() == 1)
        (folder / "colour" / "1" / "model.onnx").write_bytes(variant(folder, 5))
        look(client)
        gate.set()
        assert post.result(20).json()["model"]["digest"] == before
        assert answered_by(client, make_image()) != before
