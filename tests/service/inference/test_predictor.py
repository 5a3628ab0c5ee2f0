"""The seam as it is without HTTP: bytes in, outputs or plain errors out."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from numpy.typing import NDArray

from models.preprocessing import DEAR, ImageError, preprocess
from service.inference import predictor
from service.inference.errors import InferenceError, QueueFullError, UnusableImageError
from service.inference.execution import Execution, execution_of
from service.inference.predictor import BulkPredictor, Predictor
from service.inference.runtime import Model, Outputs, load_model
from service.observing.metrics import Metrics
from service.settings import Settings
from tests.conftest import ImageMaker
from tests.service.most import Most
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


def test_in_bulk_the_same_answers_and_each_bad_file_in_its_place(
    settings: Settings, model: Model, make_image: ImageMaker
) -> None:
    files = [make_image(seed=1), b"no image", make_image("PNG", seed=2), b""]
    found = BulkPredictor(model, settings).predict(iter(files))
    expected = run_with(settings, model, lambda predictor: predictor.predict(model, [files[0], files[2]]))
    assert [entry.fault if isinstance(entry, ImageError) else "" for entry in found] == [
        "",
        "unrecognised",
        "",
        "empty",
    ]
    answers = [entry for entry in found if not isinstance(entry, ImageError)]
    for (image, outputs), (same, others) in zip(answers, expected, strict=True):
        np.testing.assert_array_equal(image.pixels, same.pixels)
        np.testing.assert_allclose(outputs.probabilities, others.probabilities, atol=1e-5)
        np.testing.assert_allclose(outputs.recalibration_weights, others.recalibration_weights, atol=1e-5)
    assert BulkPredictor(model, settings).predict([]) == []


@pytest.mark.parametrize("streams", [1, 2])
def test_in_bulk_as_many_batches_run_at_once_as_the_plan_says(
    repository: Path, make_image: ImageMaker, streams: int
) -> None:
    settings = Settings(model_repository=repository, provider="cpu", threads=2, streams=streams)
    model = load_model(repository / "colour" / "1" / "model.onnx", version="1", execution=execution_of(settings))
    bulk, running = BulkPredictor(model, settings), Most()
    run = bulk.run

    def counted(images: NDArray[np.uint8]) -> Outputs:
        with running:
            time.sleep(0.02)  # lets others in, if they may
            return run(images)

    bulk.run = counted
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(bulk.predict, [[make_image()]] * 12))
    assert running.most == streams


def test_in_bulk_dear_images_wait_for_each_other(
    settings: Settings, model: Model, make_image: ImageMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predictor, "decoding_cost", lambda _: DEAR + 1)
    bulk = BulkPredictor(model, settings.model_copy(update={"decode_threads": 4, "max_decode_bytes": 2 * DEAR + 2}))
    held = []

    def watched(*arguments: Any) -> Any:
        held.append(bulk.room.bytes // (DEAR + 1))
        time.sleep(0.02)  # lets others in, if they may
        return preprocess(*arguments)

    monkeypatch.setattr(predictor, "preprocess", watched)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(bulk.predict, [[make_image()]] * 8))
    assert max(held) == 2
