"""Models come, are replaced and go while several threads ask without a pause: not one request fails."""

import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
from numpy.typing import NDArray

from service.client import Client
from tests.service.packages import biased, by_hand, copy_model, edited, put
from tests.service.process import running
from tests.waiting import until

KEY = {"Authorization": "Bearer the-key"}
PIXELS = np.random.default_rng(2).integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)
THREADS = 4


class Load:
    """Threads that ask until told to stop, and every answer that they had."""

    def __init__(self, address: str, image: bytes) -> None:
        self.address, self.image = address, image
        self.answers: list[tuple[str, list[float]]] = []
        self.failures: list[str] = []
        self.stopped = threading.Event()

    def protocol(self) -> None:
        body = {
            "inputs": [{"name": "image", "shape": PIXELS.shape, "datatype": "UINT8", "data": PIXELS.ravel().tolist()}]
        }
        with httpx.Client(base_url=self.address, timeout=60) as client:
            while not self.stopped.is_set():
                response = client.post("/v2/models/colour/infer", json=body)
                if response.status_code == 200:
                    answer = response.json()
                    self.answers.append((answer["model_version"], answer["outputs"][0]["data"]))
                else:
                    self.failures.append(response.text)

    def predict(self) -> None:
        with httpx.Client(base_url=self.address, timeout=60) as client:
            while not self.stopped.is_set():
                response = client.post("/v1/models/colour/predict?weights=none", content=self.image)
                if response.status_code != 200:
                    self.failures.append(response.text)

    def seen(self) -> str:
        """The version of the latest answer."""
        return self.answers[-1][0] if self.answers else ""


def probabilities(package: bytes) -> NDArray[np.float32]:
    return by_hand(package, PIXELS)[0][0]


def test_reloads_under_load_lose_no_request(repository: Path, tmp_path: Path, make_image: Callable[..., bytes]) -> None:
    first = copy_model(repository, "colour", "1", tmp_path)
    contents = {"1": first.read_bytes()}
    for number in range(2, 7):
        contents[str(number)] = edited(first, biased([number, 0, -number]))
    replacement = edited(first, biased([-9, 9, 0]))
    folder, environment = tmp_path / "colour", {"RETINA_REPOSITORY_POLL_SECONDS": "0.1", "RETINA_ADMIN_KEY": "the-key"}
    with running(tmp_path, RETINA_THREADS="1", **environment) as (_, address, log), ThreadPoolExecutor(THREADS) as pool:
        load = Load(address, make_image())
        tasks = [pool.submit(task) for task in (load.protocol, load.predict) * (THREADS // 2)]
        try:
            until(lambda: load.seen() == "1")
            for version in ("2", "3"):  # appears by a rename, and the watch finds it
                put(folder, version, contents[version])
                until(lambda version=version: load.seen() == version)  # type: ignore[misc]
            put(folder, "4", contents["4"][:-5000])  # broken: refused, and 3 goes on
            log.wait_for("refused colour version 4")
            count = len(load.answers)
            until(lambda: len(load.answers) > count + 5)
            assert load.seen() == "3"
            put(folder, "5", contents["5"])  # by the load call, which tries the broken one again and says so
            response = httpx.post(f"{address}/v2/repository/models/colour/load", headers=KEY, timeout=60)
            assert response.status_code == 400
            assert "colour/4/model.onnx" in response.json()["error"]
            until(lambda: load.seen() == "5")
            (tmp_path / "new.onnx").write_bytes(replacement)  # the same version with another content
            (tmp_path / "new.onnx").replace(folder / "5" / "model.onnx")
            expected = probabilities(replacement)
            until(lambda: np.allclose(load.answers[-1][1], expected, atol=1e-3))
            shutil.rmtree(folder / "5")  # back to 3
            until(lambda: load.seen() == "3")
            put(folder, "6", contents["6"])
            until(lambda: load.seen() == "6")
        finally:
            load.stopped.set()
        for task in tasks:
            task.result(60)
        with Client(address) as client:
            assert client.models()[0].versions == ["1", "2", "3", "6"]
        metrics = httpx.get(f"{address}/metrics").text
    assert load.failures == []
    assert 'outcome="error"' not in metrics
    allowed = {version: [probabilities(content)] for version, content in contents.items()}
    allowed["5"].append(probabilities(replacement))
    for version, answer in load.answers:
        assert any(np.allclose(answer, row, atol=1e-3) for row in allowed[version]), version
    assert {version for version, _ in load.answers} == {"1", "2", "3", "5", "6"}
