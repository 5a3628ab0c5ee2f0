"""The training step against a few lines of torch: parts of a batch, float16 with its scaler, and no waiting."""

import copy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import GradScaler, Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils._python_dispatch import TorchDispatchMode

from models.architecture import Architecture
from models.resnet import ResNet
from tests.training.fitting.quick import quick
from training.data.augmentation import BatchAugmentation
from training.data.mixup import CutMix, MixUp, OneOf
from training.data.pipeline import Normalisation, PrepareTrainingBatch
from training.errors import TrainingError
from training.fitting.forward import TrainingForward
from training.fitting.progress.losses import Losses
from training.fitting.step import TrainingStep
from training.recipe import AugmentationSpec

CPU = torch.device("cpu")
RATE = 0.1
ALL = AugmentationSpec(noise=0.1, erasing=0.2, pad_crop=2, borders=0.5, caption=0.5, squash=0.2, gamma=0.2)


def network() -> ResNet:
    torch.manual_seed(0)
    return ResNet(Architecture(depth=20, stem="small", width=0.25, num_classes=3, image_size=16))


def batch(images: int = 12) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(1)
    labels = torch.randint(0, 3, (images,), generator=random)
    return torch.randn((images, 3, 16, 16), generator=random), nn.functional.one_hot(labels, 3).float()


def trainer(model: nn.Module, precision: str = "float32", **options: Any) -> Any:
    """What a step asks of MONAI's trainer; batches are ready as they come."""
    return SimpleNamespace(
        network=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=RATE, **options),
        prepare_batch=lambda batch, _, non_blocking: batch,
        inferer=TrainingForward(CPU, precision),
        loss_function=nn.CrossEntropyLoss(),
        state=SimpleNamespace(device=CPU, iteration=1, epoch=1),
    )


def weights(model: nn.Module) -> list[Tensor]:
    return [value.detach().clone() for value in model.parameters()]


class TestParts:
    @pytest.mark.parametrize("parts", [1, 2, 3])
    def test_give_the_mean_gradient_with_batch_statistics_of_each(self, parts: int) -> None:
        model, (images, targets) = network(), batch()
        expected = copy.deepcopy(model).train()
        losses = [
            nn.functional.cross_entropy(expected(x), t)
            for x, t in zip(images.chunk(parts), targets.chunk(parts), strict=True)
        ]
        torch.stack(losses).mean().backward()

        output = TrainingStep(parts)(trainer(model), (images, targets))  # type: ignore[arg-type]
        assert output["loss"].item() == pytest.approx(sum(loss.item() for loss in losses) / parts, rel=1e-6)
        assert not output["loss"].requires_grad
        for now, before in zip(model.parameters(), expected.parameters(), strict=True):
            assert before.grad is not None
            torch.testing.assert_close(now.detach(), before.detach() - RATE * before.grad, atol=1e-6, rtol=1e-4)
        for name, value in model.named_buffers():
            torch.testing.assert_close(value, expected.get_buffer(name), msg=name)

    def test_without_batch_statistics_change_nothing(self) -> None:
        results = []
        for parts in (1, 4):
            torch.manual_seed(0)
            model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 14 * 14, 3))
            TrainingStep(parts, clip_norm=0.5)(trainer(model), batch())  # type: ignore[arg-type]
            results.append(weights(model))
        torch.testing.assert_close(results[0], results[1])

    def test_keep_the_activations_of_one_part(self) -> None:
        """The largest batch that the network sees at a time."""
        model, seen = network(), []
        model.conv1.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
        TrainingStep(3)(trainer(model), batch())  # type: ignore[arg-type]
        assert seen == [4, 4, 4]

    @pytest.mark.parametrize(("size", "parts"), [(10, 3), (10, 10), (10, 20)])
    def test_that_are_unequal_or_single_images_are_refused(
        self, few_npz: Path, tmp_path: Path, size: int, parts: int
    ) -> None:
        with pytest.raises(
            TrainingError, match=rf"accumulate: {size} images can't be divided into {parts} equal parts"
        ):
            quick(few_npz, tmp_path / "run", batch_size=size, accumulate=parts)

    def test_are_exchanged_between_processes_once(self, tmp_path: Path) -> None:
        dist.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
        try:
            exchanged = []

            def exchange(_: object, bucket: dist.GradBucket) -> torch.futures.Future[Tensor]:  # type: ignore[name-defined]
                exchanged.append(bucket.buffer())
                future: torch.futures.Future[Tensor] = torch.futures.Future()
                future.set_result(bucket.buffer())
                return future

            shared = DistributedDataParallel(network())
            shared.register_comm_hook(None, exchange)
            for parts in (1, 3):
                exchanged.clear()
                TrainingStep(parts)(trainer(shared), batch())  # type: ignore[arg-type]
                assert len(exchanged) == 1
        finally:
            dist.destroy_process_group()


class TestFloat16:
    def test_equals_float32_up_to_its_rounding(self) -> None:
        moved = []
        for precision, scaler in (("float32", None), ("float16", GradScaler("cpu"))):
            model = network()
            before = weights(model)
            TrainingStep(2, scaler)(trainer(model, precision, fused=True), batch())  # type: ignore[arg-type]
            moved.append(torch.cat([(a - b).flatten() for a, b in zip(weights(model), before, strict=True)]))
        assert 0 < float((moved[0] - moved[1]).norm() / moved[0].norm()) < 0.05

    def test_leaves_out_a_step_that_overflows_and_lowers_the_scale(self) -> None:
        model, scaler = network(), GradScaler("cpu", init_scale=2.0**40)
        before = weights(model)
        one = trainer(model, "float16", fused=True)
        TrainingStep(1, scaler)(one, batch())  # type: ignore[arg-type]
        assert all(torch.equal(a, b) for a, b in zip(weights(model), before, strict=True))
        assert scaler.get_scale() == 2.0**39
        scaler.load_state_dict(scaler.state_dict() | {"scale": 1.0})
        TrainingStep(1, scaler)(one, batch())  # type: ignore[arg-type]
        assert not torch.equal(weights(model)[0], before[0])

    def test_clips_the_gradient_without_its_scale(self) -> None:
        model = network()
        before = weights(model)
        step = TrainingStep(1, GradScaler("cpu", init_scale=1024.0), clip_norm=0.01)
        step(trainer(model, "float16", fused=True), batch())  # type: ignore[arg-type]
        moved = torch.cat([(a - b).flatten() for a, b in zip(weights(model), before, strict=True)])
        assert moved.norm().item() == pytest.approx(RATE * 0.01, rel=1e-3)

    @pytest.mark.parametrize("name", ["adamw", "adam", "sgd"])
    def test_trains(self, few_npz: Path, tmp_path: Path, name: str) -> None:
        run = quick(few_npz, tmp_path / "run", precision="float16", optimiser={"name": name})
        assert run.finished()


class Reads(TorchDispatchMode):
    """Counts what makes the host wait for a GPU: reading a value, and shapes that depend on values."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket._qualified_op_name in ("aten::_local_scalar_dense", "aten::nonzero"):
            self.found.append(str(func))
        return func(*args, **kwargs or {})


@pytest.fixture(params=["float32", "float16"])
def ready(request: pytest.FixtureRequest) -> tuple[TrainingStep, Any, dict[str, Tensor]]:
    """A step with everything on, its trainer, and a batch as a loader gives it."""
    augmentation, blend = BatchAugmentation(ALL, 12), OneOf(MixUp(0.4), CutMix(1.0))
    augmentation.set_random_state(0)
    blend.set_random_state(0)
    one = trainer(network(), request.param, fused=request.param == "float16")
    one.prepare_batch = PrepareTrainingBatch(Normalisation([0.5] * 3, [0.2] * 3), augmentation, blend, 3)
    images = torch.randint(0, 256, (12, 3, 16, 16), dtype=torch.uint8)
    scaler = GradScaler("cpu") if request.param == "float16" else None
    return (
        TrainingStep(2, scaler, clip_norm=1.0),
        one,
        {"image": images, "label": torch.arange(12) % 3},
    )


def test_nothing_is_read_in_a_step(ready: tuple[TrainingStep, Any, dict[str, Tensor]]) -> None:
    step, one, raw = ready
    losses = Losses(CPU)
    losses.behind = 3
    with Reads() as reads:
        for number in range(1, 4):
            one.state.output, one.state.iteration = step(one, raw), number
            losses.add(one)
    assert reads.found == []
    with Reads() as reads:
        losses.settle()
    assert len(reads.found) == 3
