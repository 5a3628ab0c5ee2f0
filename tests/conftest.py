"""What several rooms' tests share: tiny packages with random weights, and image files made on the spot. No torch."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper
from PIL import Image

from models.card import Card
from models.package import package_path, write_card

LABELS = ["normal", "glaucoma", "cataract"]
FIXTURES = Path(__file__).parent / "fixtures"


def tiny_card(name: str, version: str, *, of: str = "colour") -> Card:
    """The card of a tiny package, under another name and version."""
    [card] = [entry.value for entry in onnx.load(FIXTURES / f"{of}.onnx").metadata_props if entry.key == "card"]
    changes = {"name": name, "version": version, "description": f"{name}, with random weights"}
    return Card.model_validate_json(card).model_copy(update=changes)


def write_tiny_package(repository: Path, name: str, version: str, channels: int, seed: int) -> Path:
    """Write a package whose gates and logits differ from image to image, as a trained one's do.

    The graph is one of those in ``tests/fixtures``, which have no weights; these come from the seed.
    """
    of = "grey" if channels == 1 else "colour"
    model, random = onnx.load(FIXTURES / f"{of}.onnx"), np.random.default_rng(seed)
    filled: dict[tuple[int, ...], NDArray[np.float64]] = {}
    for tensor in model.graph.initializer:
        shape = tuple(tensor.dims)
        if not tensor.raw_data:
            # He's initialisation by fan-out, as the network starts with; torch's for the classifier.
            variance = 2 / np.prod([shape[0], *shape[2:]]) if len(shape) == 4 else 1 / (3 * shape[1])
            # The classifier's weights are there twice: for the logits and for the maps, with two axes more.
            values = filled.get(shape[:2]) if shape[2:] == (1, 1) else None
            values = random.normal(0, variance**0.5, shape) if values is None else values.reshape(shape)
            filled[shape] = values
            tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float32), tensor.name))
    path = package_path(repository, name, version)
    path.parent.mkdir(parents=True)
    onnx.save(model, path)
    write_card(path, tiny_card(name, version, of=of))
    return path


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Training keeps no decoded images in the user's folder for caches."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RETINA_TRAINING_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model repository: ``colour`` in versions 1 and 2, and ``grey`` in version 1."""
    folder = tmp_path_factory.mktemp("repository")
    write_tiny_package(folder, "colour", "1", channels=3, seed=1)
    write_tiny_package(folder, "colour", "2", channels=3, seed=2)
    write_tiny_package(folder, "grey", "1", channels=1, seed=3)
    return folder


ImageMaker = Callable[..., bytes]


@pytest.fixture
def make_image() -> ImageMaker:
    """Make an image file: smooth colours and some noise, different for each seed."""

    def make(file_format: str = "JPEG", width: int = 96, height: int = 64, seed: int = 0, mode: str = "RGB") -> bytes:
        random = np.random.default_rng(seed)
        base = random.integers(0, 200, (4, 4, 3), dtype=np.uint8)
        picture = np.asarray(Image.fromarray(base).resize((width, height), Image.Resampling.BICUBIC)).astype(int)
        noisy = (picture + random.integers(0, 40, picture.shape)).clip(0, 255).astype(np.uint8)
        stream = io.BytesIO()
        Image.fromarray(noisy).convert(mode).save(stream, file_format)
        return stream.getvalue()

    return make


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data beside the checkout, where there are any; tests that need them are skipped elsewhere."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no real data in ../shared/data")
    return folder
