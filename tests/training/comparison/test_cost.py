"""Cost: parameters as published, multiply-adds by plain arithmetic, ratios on a clock of our own."""

import itertools
from collections.abc import Callable

import pytest
import torch

from models.architecture import Architecture, RecalibrationName
from training.comparison import cost
from training.comparison.cost import interleaved, multiply_adds, parameters, time_inference, time_training
from training.recipe import OptimiserSpec

# Lee, Kim, Nam 2019 and counts of the official code: depth to (plain, SRM, SE).
PUBLISHED = {
    18: (11_689_512, 11_697_192, 11_778_592),
    34: (21_797_672, 21_812_776, 21_958_868),
    50: (25_557_032, 25_617_448, 28_088_024),
    101: (44_549_160, 44_679_208, 49_326_872),
}


@pytest.mark.parametrize("depth", [18, 34, 50, 101])
def test_parameters_are_the_published_ones(depth: int) -> None:
    for kind, expected in zip(("none", "srm", "se"), PUBLISHED[depth], strict=True):
        architecture = Architecture.model_validate({"depth": depth, "recalibration": kind})
        assert parameters(architecture) == expected


def resnet_50(stride_in_first: bool) -> int:
    """Multiply-adds at 224 px, from the table of He et al. 2016."""
    total = 112 * 112 * 64 * 3 * 7 * 7 + 2048 * 1000
    size, channels = 56, 64
    for width, blocks in ((64, 3), (128, 4), (256, 6), (512, 3)):
        for block in range(blocks):
            before = size
            if block == 0 and width > 64:
                size //= 2
            first = size if stride_in_first else before
            total += first**2 * channels * width + size**2 * width * width * 9 + size**2 * width * 4 * width
            if block == 0:
                total += size**2 * channels * 4 * width
            channels = 4 * width
    return total


class TestMultiplyAdds:
    def test_of_a_plain_resnet_50_are_those_of_its_convolutions(self) -> None:
        assert multiply_adds(Architecture(depth=50, recalibration="none")) == resnet_50(stride_in_first=False)
        assert round(resnet_50(stride_in_first=True) / 1e9, 2) == 3.86  # as SE's and SRM's authors state it

    @pytest.mark.parametrize(("kind", "published"), [("se", 3.87), ("srm", 3.88)])
    def test_of_recalibration_equal_the_difference_in_the_paper(
        self, kind: RecalibrationName, published: float
    ) -> None:
        added = multiply_adds(Architecture(depth=50, recalibration=kind)) - resnet_50(stride_in_first=False)
        assert round((resnet_50(stride_in_first=True) + added) / 1e9, 2) == published

    def test_of_gather_excite_by_hand(self) -> None:
        # CIFAR-type ResNet-20 at 32 px: three stages of three blocks; a convolution over all of it, and the product.
        features = 3 * (32 * 32 * 16 + 16 * 16 * 32 + 8 * 8 * 64)
        plain, ge = (
            multiply_adds(
                Architecture.model_validate({"depth": 20, "recalibration": k, "stem": "small", "image_size": 32})
            )
            for k in ("none", "ge")
        )
        assert ge - plain == 2 * features


class TestTiming:
    def test_gives_ratios_to_the_baseline(self, monkeypatch: pytest.MonkeyPatch) -> None:
        now = 0.0
        monkeypatch.setattr("training.comparison.cost.time.perf_counter", lambda: now)

        def step(seconds: list[float]) -> Callable[[], None]:
            durations = itertools.cycle(seconds)

            def advance() -> None:
                nonlocal now
                now += next(durations)

            return advance

        # The machine slows down after the two warm-up calls, for both alike.
        steps = {"none": step([9, 9, 1, 1, 4, 4, 4]), "srm": step([9, 9, 1.5, 1.5, 6, 6, 6])}
        found = interleaved(steps, "none", torch.device("cpu"), seconds=0)
        assert found["none"] == (4000, 1, (1, 1))
        assert found["srm"] == (6000, 1.5, (1.5, 1.5))

    def test_runs_the_networks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(cost, "LEAST_ROUNDS", 2)
        architectures = {
            kind: Architecture.model_validate(
                {"depth": 20, "recalibration": kind, "stem": "small", "width": 0.25, "image_size": 8, "num_classes": 2}
            )
            for kind in ("none", "se", "ge", "srm")
        }
        device = torch.device("cpu")
        inference = time_inference(architectures, "none", device, batch_size=2, seconds=0)
        training = time_training(architectures, "none", device, OptimiserSpec(), batch_size=2, seconds=0)
        for found in (inference, training):
            assert list(found) == list(architectures)
            assert all(timing.milliseconds > 0 for timing in found.values())
            assert found["none"].ratio == 1
