"""Distances to reference densities against NumPy's and SciPy's, and the styles that are measured."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.spatial.distance import mahalanobis

from models.architecture import Architecture, RecalibrationName
from models.resnet import ResNet
from models.style_shift import Density, StyleShift, input_style, styles_of
from tests.models.networks import as_if_trained


def full_density(samples: NDArray[np.float64]) -> Density:
    scale = samples.std(axis=0)
    variances, directions = np.linalg.eigh(np.cov((samples / scale).T, bias=True))
    arrays = (samples.mean(axis=0), scale, directions, 1 / variances)
    centre, spread, axes, weights = (torch.from_numpy(np.ascontiguousarray(array)) for array in arrays)
    return Density(centre, spread, axes, weights, 0.0)


def test_a_full_density_is_the_mahalanobis_distance() -> None:
    random = np.random.default_rng(0)
    samples = random.normal(size=(200, 5)) @ random.normal(size=(5, 5)) + random.normal(size=5)
    new = random.normal(size=(7, 5)) * 3
    module = StyleShift([full_density(samples)], torch.zeros(1), torch.ones(1))
    inverse = np.linalg.inv(np.cov(samples.T, bias=True))
    expected = [np.log(mahalanobis(row, samples.mean(axis=0), inverse) ** 2 / 5) for row in new]
    np.testing.assert_allclose(module.log_distances([torch.from_numpy(new).float()])[:, 0], expected, rtol=1e-3)


def test_a_low_rank_density_weighs_the_rest_by_its_own_variance() -> None:
    """One direction of variance 4, all others of variance 0.25: a diagonal covariance, by hand."""
    directions = torch.tensor([[1.0], [0.0], [0.0]])
    density = Density(torch.zeros(3), torch.ones(3), directions, torch.tensor([1 / 4 - 4.0]), 4.0)
    module = StyleShift([density], torch.zeros(1), torch.ones(1))
    expected = np.log((2**2 / 4 + 1 / 0.25 + 3**2 / 0.25) / 3)
    assert module.log_distances([torch.tensor([[2.0, 1.0, 3.0]])]).item() == pytest.approx(expected, rel=1e-5)


def test_the_image_s_shift_is_that_of_its_most_unusual_block() -> None:
    density = Density(torch.zeros(1), torch.ones(1), torch.ones(1, 1), torch.ones(1), 0.0)
    module = StyleShift([density, density], torch.tensor([0.0, 1.0]), torch.tensor([1.0, 2.0]))
    shift, by_block = module([torch.tensor([[1.0], [np.e]]), torch.tensor([[np.e], [1.0]])])
    np.testing.assert_allclose(by_block, [[0.0, 0.5], [2.0, -0.5]], atol=1e-6)
    np.testing.assert_allclose(shift, [0.5, 2.0], atol=1e-6)


@pytest.mark.parametrize("recalibration", ["srm", "se", "ge", "none"])
@pytest.mark.parametrize("depth", [18, 50, 20])
def test_styles_are_those_of_the_residual_branch(depth: int, recalibration: RecalibrationName) -> None:
    """Recomputed in NumPy from what the last BatchNorm of each block returned."""
    architecture = Architecture.model_validate(
        {"depth": depth, "recalibration": recalibration, "stem": "small", "width": 1 / 8, "image_size": 16}
        | {"num_classes": 3}
    )
    network: ResNet = as_if_trained(architecture)
    seen: dict[str, NDArray[np.float32]] = {}
    for name, block in network.blocks().items():
        last = block.bn3 if block.bottleneck else block.bn2
        last.register_forward_hook(lambda _, __, output, name=name: seen.update({name: output.numpy().copy()}))
    torch.manual_seed(0)
    images = torch.rand(3, 3, 16, 16)
    with torch.inference_mode():
        explanation = network.explain(images)
        logits = network(images)
    assert list(explanation.styles) == list(network.blocks())
    for name, (mu, sigma) in explanation.styles.items():
        values = seen[name].astype(np.float64)
        np.testing.assert_allclose(mu, values.mean(axis=(2, 3)), atol=1e-5)
        divisor = max(values[0, 0].size - 1, 1)
        variance = ((values - values.mean(axis=(2, 3), keepdims=True)) ** 2).sum(axis=(2, 3)) / divisor
        np.testing.assert_allclose(sigma, np.sqrt(variance + 1e-5), rtol=1e-4)
    torch.testing.assert_close(explanation.logits, logits, atol=1e-5, rtol=1e-5)
    styles = styles_of(255 * images, explanation)
    assert len(styles) == 1 + len(network.blocks())


@pytest.mark.parametrize(("size", "every"), [((12, 10), 1), ((130, 120), 3), ((230, 224), 5)])
def test_the_image_s_own_style(size: tuple[int, int], every: int) -> None:
    """Recomputed in NumPy, position by position on the grid; detail is a mean absolute difference."""
    image = np.random.default_rng(0).random((1, 2, *size)).astype(np.float32)
    found = input_style(torch.from_numpy(255 * image))[0].numpy()
    pixels = image[0].astype(np.float64)
    seen = pixels[:, ::every, ::every]
    expected = [seen.mean(axis=(1, 2)), np.log(seen.std(axis=(1, 2)) + 1e-3)]
    for step in (1, 2, 4):
        rows, columns = (np.arange(step, length - step, every) for length in size)
        y, x = np.meshgrid(rows, columns, indexing="ij")
        centre, right, left = pixels[:, y, x], pixels[:, y, x + step], pixels[:, y, x - step]
        below, above = pixels[:, y + step, x], pixels[:, y - step, x]
        detail = np.stack([right - centre, below - centre, 4 * centre - right - left - below - above], axis=1)
        expected.append(np.log(np.abs(detail).mean(axis=(2, 3)) + 1e-3).reshape(-1))
    np.testing.assert_allclose(found, np.concatenate(expected), atol=1e-4)


def test_an_image_too_small_for_a_step_goes_without_it() -> None:
    assert input_style(255 * torch.rand(2, 1, 4, 4)).shape == (2, 5)
