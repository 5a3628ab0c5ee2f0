"""Unload drains, a request keeps its model, and the repository's calls are the admin's; the folder is Triton's too."""

import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import onnx
import pytest

from service.inference.runtime import Model
from tests.conftest import ImageMaker
from tests.service.inference.changing import KEY, PREDICT, answered_by, index, look, serving, state, variant, versions


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
        wait_until(lambda: len(state(client).predictor.of(model()).batcher.queue) == 2)  # type: ignore[arg-type]
        unload = threads.submit(client.post, "/v2/repository/models/colour/unload", headers=KEY)
        wait_until(lambda: "colour" not in state(client).repository.models)
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


def wait_until(condition: Any) -> None:
    for _ in range(2000):
        if condition():
            return
        threading.Event().wait(0.005)
    raise AssertionError("it did not happen")


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
        wait_until(lambda: state(client).requests.total() == 1)
        (folder / "colour" / "1" / "model.onnx").write_bytes(variant(folder, 5))
        look(client)
        gate.set()
        assert post.result(20).json()["model"]["digest"] == before
        assert answered_by(client, make_image()) != before


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("models/nothing/load", 404, "it holds: colour, grey"),
        ("models/nothing/unload", 404, "colour, grey"),
        ("models/..%2f..%2fetc/load", 404, ""),
        ("models/%2e%2e/load", 404, ""),
    ],
)
def test_calls_for_models_that_are_not_there(folder: Path, path: str, status: int, words: str) -> None:
    with serving(folder) as client:
        response = client.post(f"/v2/repository/{path}", headers=KEY)
        assert response.status_code == status
        assert words in response.json()["error"]


def test_load_takes_no_files_or_configurations(folder: Path) -> None:
    with serving(folder) as client:
        body = {"parameters": {"config": "{}"}}
        response = client.post("/v2/repository/models/colour/load", headers=KEY, json=body)
        assert (response.status_code, "config" in response.json()["error"]) == (400, True)


@pytest.mark.parametrize(
    ("key", "headers", "status", "words"),
    [
        (None, KEY, 403, "RETINA_ADMIN_KEY"),
        ("", {"Authorization": "Bearer "}, 403, "RETINA_ADMIN_KEY"),
        ("the-key", {}, 401, "missing or wrong"),
        ("the-key", {"Authorization": "Bearer the-kez"}, 401, "missing or wrong"),
        ("the-key", {"Authorization": "Bearer"}, 401, "missing or wrong"),
        ("the-key", {"Authorization": "Basic the-key"}, 401, "missing or wrong"),
    ],
)
def test_the_repository_is_for_the_admin(
    folder: Path, key: str | None, headers: dict[str, str], status: int, words: str
) -> None:
    with serving(folder, admin_key=key) as client:
        for call in ("index", "models/colour/load", "models/colour/unload"):
            response = client.post(f"/v2/repository/{call}", headers=headers)
            assert response.status_code == status
            assert words in response.json()["error"]
        assert client.get("/v2/models/colour/ready").status_code == 200


def test_the_folder_is_what_triton_reads(folder: Path) -> None:
    """Triton's layout and its auto-completion: one file a version, a free first axis, the dims of the configuration."""
    types = {onnx.TensorProto.UINT8: "TYPE_UINT8", onnx.TensorProto.FLOAT: "TYPE_FP32"}
    with serving(folder) as client:
        for name in ("colour", "grey"):
            config = client.get(f"/v2/models/{name}/config").json()
            graph = onnx.load(folder / name / "1" / config["default_model_filename"]).graph
            for kind, tensors in (("input", graph.input), ("output", graph.output)):
                described = {tensor["name"]: (tensor["data_type"], tensor["dims"]) for tensor in config[kind]}
                described.pop("image_bytes", None)
                in_file = {}
                for tensor in tensors:
                    batch, *dims = tensor.type.tensor_type.shape.dim
                    assert batch.dim_param
                    in_file[tensor.name] = (types[tensor.type.tensor_type.elem_type], [d.dim_value for d in dims])
                assert described == in_file
            assert config["max_batch_size"] >= 1
