"""Activation against attention maps: known maps, another implementation's correlation, and a run on LAG's layout."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.training import released_trees as trees
from tests.training.tiny_data import tiny_recipe
from training.datasets import read_dataset
from training.errors import TrainingError
from training.evaluation.evaluate import evaluate
from training.fitting.engine import fit
from training.maps.attention import compare_attention, correlation, overlap
from training.run import Run


def blob(row: int, column: int) -> np.ndarray:
    y, x = np.mgrid[:20, :20]
    return np.exp(-((y - row) ** 2 + (x - column) ** 2) / 8.0)[None]


def test_correlation_is_numpys() -> None:
    random = np.random.default_rng(0)
    a, b = random.normal(size=(2, 3, 6, 5))
    expected = [np.corrcoef(x.ravel(), y.ravel())[0, 1] for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(correlation(a, b), expected)
    assert correlation(np.ones((1, 4, 4)), a[:1, :4, :4]) == 0


def test_overlap_of_known_maps() -> None:
    assert overlap(blob(5, 5), 3 * blob(5, 5) + 1) == 1
    assert overlap(blob(4, 4), blob(15, 15)) == 0
    half = np.zeros((2, 1, 20))  # a tenth is two pixels: one is shared
    half[0, 0, [3, 4]], half[1, 0, [4, 9]] = 1, 1
    assert overlap(half[:1], half[1:]) == pytest.approx(1 / 3)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("lag")
    recipe = tiny_recipe(
        trees.lag(folder / "data"),
        dataset="lag",
        task="multi-class",
        input={"size": 16},
        network={"width": 0.05},
        folder={"validation": 0.25, "test": 0.25},
        epochs=1,
        batch_size=10,
    )
    return fit(recipe, folder / "run", progress=False)


def test_the_networks_own_maps_agree_wholly(run: Run) -> None:
    network, facts = run.network(), run.facts()
    items = [item for item in read_dataset(run.recipe()).splits["train"] if item.attention is not None][:6]
    found = compare_attention(network, items, facts)
    assert found is not None
    assert found["images"] == 6
    assert -1 <= found["correlation"] <= 1
    assert found["overlap_by_chance"] == pytest.approx(1 / 19)

    import torch

    from training.data.pipeline import PrepareBatch, cached, loader

    (batch,) = loader(cached(items, facts.input), 6)
    images, _ = PrepareBatch(facts.normalisation)(batch, torch.device("cpu"))
    with torch.inference_mode():
        explanation = network.explain(images)
    maps = explanation.class_activation[range(6), explanation.logits.argmax(dim=1)].numpy()
    for item, map_ in zip(items, maps, strict=True):
        low, high = map_.min(), map_.max()
        grey = Image.fromarray(((map_ - low) / (high - low) * 255).astype(np.uint8)).resize((16, 16))
        assert item.attention is not None
        grey.save(item.attention.with_suffix(".png"))
    own = [item._replace(attention=item.attention.with_suffix(".png")) for item in items if item.attention]
    agreed = compare_attention(network, own, facts)
    assert agreed is not None
    assert agreed["correlation"] > 0.95
    assert agreed["correlation"] > agreed["correlation_with_another_image"]


def test_goes_into_the_evaluation(run: Run) -> None:
    items = read_dataset(run.recipe()).splits["val"]
    report = evaluate(run, "val")
    assert report.attention is not None
    assert report.attention.images == sum(item.attention is not None for item in items)


def test_too_few_maps(run: Run) -> None:
    items = [item._replace(attention=None) for item in read_dataset(run.recipe()).splits["val"]]
    assert compare_attention(run.network(), items, run.facts()) is None


def test_an_unreadable_map_is_named(run: Run, tmp_path: Path) -> None:
    damaged = tmp_path / "map.jpg"
    damaged.write_bytes(b"no image")
    items = [item._replace(attention=damaged) for item in read_dataset(run.recipe()).splits["val"]]
    with pytest.raises(TrainingError, match=r"map\.jpg can't be read"):
        compare_attention(run.network(), items, run.facts())
