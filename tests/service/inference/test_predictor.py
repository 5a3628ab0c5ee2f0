"""The seam as it is without HTTP: bytes in, outputs or plain errors out."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest

from service.inference.errors import InferenceError, QueueFullError, UnusableImageError
from service.inference.execution import Execution
from service.inference.predictor import Predictor
from service.inference.runtime import Model, load_model
from service.observing.metrics import Metrics
from service.settings import Settings
from tests.conftest import ImageMaker
from tests.service.packages import by_hand

T = TypeVar("T")


@pytest.fixture
def model(repository: Path) -> Model:
    return load_model(repository / "colour" / "1" / "model.onnx", version="1", execution=Execution("cpu", 1))


def run_with(settings: Settings, model: Model, use: Callable[[Predictor], Awaitable[T]]) -> T:
    async def run() -> T:
        predictor = Predictor(settings, Metrics())
        predictor.add(model)
        try:
            return await use(predictor)
        finally:
            predictor.close()

    return asyncio.run(run())


def test_files_give_what_the_package_gives_in_their_order(
    settings: Settings, model: Model, repository: Path, make_image: ImageMaker
) -> None:
    files = [make_image(seed=1), make_image("PNG", seed=2)]
    predicted = run_with(settings, model, lambda predictor: predictor.predict(model, files))
    pixels = np.stack([image.pixels for image, _ in predicted])
    expected = by_hand(repository / "colour" / "1" / "model.onnx", pixels)[0]
    assert [image.format for image, _ in predicted] == ["JPEG", "PNG"]
    np.testing.assert_allclose([row.probabilities for _, row in predicted], expected, atol=1e-5)


def test_the_first_unusable_file_is_named(settings: Settings, model: Model, make_image: ImageMaker) -> None:
    files = [make_image(), b"no image", b""]
    with pytest.raises(UnusableImageError) as caught:
        run_with(settings, model, lambda predictor: predictor.predict(model, files))
    assert caught.value.index == 1
    assert caught.value.reason.fault == "unrecognised"
    assert str(caught.value) == str(caught.value.reason)


def test_a_full_queue_is_an_error_of_inference(settings: Settings, model: Model, make_image: ImageMaker) -> None:
    narrow = settings.model_copy(update={"queue_size": 1})
    with pytest.raises(QueueFullError) as caught:
        run_with(narrow, model, lambda predictor: predictor.predict(model, [make_image(), make_image(seed=1)]))
    assert isinstance(caught.value, InferenceError)
