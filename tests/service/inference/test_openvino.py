"""OpenVINO's provider, where ``onnxruntime-openvino`` is installed in place of ``onnxruntime``."""

import time
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.inference.execution import Execution
from service.inference.providers import OPENVINO, Options, ProviderError
from service.inference.runtime import load_model
from service.settings import SHIPPED_REPOSITORY, Settings
from tests.conftest import ImageMaker
from tests.service.packages import by_hand

if OPENVINO not in onnxruntime.get_available_providers():
    pytest.skip("onnxruntime-openvino is not installed", allow_module_level=True)

PACKAGES = sorted(SHIPPED_REPOSITORY.glob("*/*/model.onnx"))


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.parent.parent.name)
def test_answers_are_those_of_the_cpu_s_provider_at_every_batch_size(package: Path) -> None:
    model = load_model(package, version=package.parent.name, execution=Execution("openvino", 2))
    assert model.provider == OPENVINO
    assert list(model.nodes) == [OPENVINO], "OpenVINO does not take the whole graph"
    spec, random = model.card.input, np.random.default_rng(0)
    for count in (1, 3, 2):
        images = random.integers(0, 256, (count, spec.height, spec.width, spec.channels), dtype=np.uint8)
        answers = model.run(images)
        found = (answers.probabilities, answers.recalibration_weights, answers.class_activation)
        for values, expected in zip(found, by_hand(package, images), strict=True):
            np.testing.assert_allclose(values, expected, atol=1e-4)


def test_it_uses_the_threads_of_the_settings() -> None:
    """With one thread, a second of processor time takes a second at least."""
    model = load_model(PACKAGES[0], version="1", execution=Execution("openvino", 1))
    spec = model.card.input
    images = np.zeros((4, spec.height, spec.width, spec.channels), np.uint8)
    model.run(images)
    wall, processor = time.perf_counter(), time.process_time()
    for _ in range(5):
        model.run(images)
    assert (time.process_time() - processor) / (time.perf_counter() - wall) < 1.2


@pytest.mark.parametrize(
    "options", [{"bogus": 1}, {"precision": "FP7"}, {"device_type": "NONE"}, {"load_config": "no JSON"}]
)
def test_bad_options_are_an_error_at_start(repository: Path, options: dict[str, str]) -> None:
    """ONNX Runtime refuses the first and goes to the CPU without a word for the others."""
    given: Options = {"openvino": {**options}}
    with pytest.raises(ProviderError, match="could not start OpenVINO"):
        load_model(repository / "grey/1/model.onnx", version="1", execution=Execution("openvino", 1, options=given))


def test_the_service_predicts_with_it(repository: Path, make_image: ImageMaker) -> None:
    settings = Settings(model_repository=repository, provider="openvino", threads=1)
    with TestClient(create_app(settings)) as client:
        entry = client.get("/v1/models").json()["models"][0]
        answer = client.post("/v1/models/colour/predict", content=make_image())
    assert (entry["provider"], list(entry["nodes"])) == (OPENVINO, [OPENVINO])
    assert answer.status_code == 200
