"""CIFAR-10 by the schedule that SRM's paper and He et al. publish, on one GPU, a step as one CUDA graph.

    python -m tests.gpu.cifar10 FOLDER --depth 56 --recalibration srm --output cifar10.json

``FOLDER`` is the official release for Python, or holds ``train/<class>/`` and ``test/<class>/`` with 32-pixel images.
SGD, batch 128, 64,000 steps, learning rate .1 divided by ten at 1/2 and 3/4, weight decay 1e-4 (none on SRM's own
weights), crops out of a margin of 4 pixels and flips (He 2016, section 4.2; Lee 2019, section 4.1), under bfloat16
autocast and channels last. All images lie on the GPU and are augmented there. Nothing is chosen: the test images are
opened once, by the last weights. Published for SRM-ResNet-56: 95.05.

A network of another form or of larger images is a start for retinal ones, and `--weights` keeps it:

    python -m tests.gpu.cifar10 FOLDER --depth 18 --stem imagenet --width 0.5 --size 64 --channels 1 --steps 11700 \\
        --weights runs/start
    python -m training fit octmnist --set network.width=0.5 --set network.initial_weights=runs/start/srm-0.pt

Needs a GPU, torch with CUDA, numpy, pillow, pydantic and typer; for the official release `make train-env` as well.
"""

import json
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn.functional import cross_entropy, interpolate, pad

from models.architecture import Architecture
from models.recalibration import Recalibration
from models.resnet import ResNet
from tests.benchmarks._measure import describe_machine

DEVICE = torch.device("cuda")
PIXELS, MARGIN, BATCH = 32, 4, 128
STEPS = 64_000
WARM_UP = 3  # steps that are not captured, at the start and after each change of the learning rate

Split = tuple[NDArray[np.uint8], NDArray[np.int64]]


def main(
    folder: Path,
    depth: int = 56,
    recalibration: Annotated[list[str] | None, typer.Option(help="srm without it; repeatable")] = None,
    seed: Annotated[list[int] | None, typer.Option(help="0 without it; repeatable")] = None,
    steps: int = STEPS,
    minutes: Annotated[float, typer.Option(help="Shorten each run's schedule to fit; 0 never does")] = 0,
    stem: Literal["small", "imagenet"] = "small",
    width: float = 1.0,
    size: Annotated[int, typer.Option(help="Pixels that the images of 32 are enlarged to")] = PIXELS,
    channels: Annotated[int, typer.Option(help="3, or 1 for grey images")] = 3,
    weights: Annotated[Path | None, typer.Option(help="Folder for <recalibration>-<seed>.pt")] = None,
    output: Path = Path("cifar10.json"),
) -> None:
    """Train, test once, and write what was measured as JSON."""
    torch.backends.cudnn.benchmark = True
    print(describe_machine(DEVICE), flush=True)
    train, test = read_splits(folder)
    print(f"{len(train[0])} training and {len(test[0])} test images", flush=True)
    if channels == 1:
        train, test = ((grey(images), labels) for images, labels in (train, test))
    form = {"depth": depth, "stem": stem, "width": width, "image_size": size, "in_channels": channels}
    results = []
    for kind in recalibration or ["srm"]:
        for each in seed or [0]:
            result, state = run(form | {"recalibration": kind}, each, train, test, steps, minutes)
            results.append(result)
            if weights is not None:
                weights.mkdir(parents=True, exist_ok=True)
                torch.save(state, weights / f"{kind}-{each}.pt")
            output.write_text(json.dumps(results, indent=2))


def read_splits(folder: Path) -> tuple[Split, Split]:
    """Images (N, 32, 32, 3) and labels (N,) of training and test.

    Raises:
        SystemExit: if the folder has neither layout.
    """
    if not (folder / "train").is_dir():
        from training.datasets.cifar import RELEASES, read_batch  # the official release

        release = RELEASES["cifar10"]
        root = folder / release.folder if (folder / release.folder).is_dir() else folder
        items = [
            [item for name in names for item in read_batch(root / name, release, 10)]
            for names in (release.train, release.test)
        ]
        train, test = (
            (np.stack([np.asarray(i.image) for i in part]), np.array([i.label for i in part])) for part in items
        )
        return train, test
    classes = sorted(path.name for path in (folder / "train").iterdir())

    def split(name: str) -> Split:
        files = [
            (path, index) for index, label in enumerate(classes) for path in sorted((folder / name / label).iterdir())
        ]
        with ThreadPoolExecutor() as pool:
            images = list(pool.map(lambda entry: np.asarray(Image.open(entry[0]).convert("RGB")), files))
        return np.stack(images), np.array([index for _, index in files])

    return split("train"), split("test")


def grey(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Luma (ITU-R 601) of colour images (N, H, W, 3), as Pillow computes it: (N, H, W, 1)."""
    return np.stack([np.asarray(Image.fromarray(image).convert("L")) for image in images])[..., None]


def run(
    form: Mapping[str, Any], seed: int, train: Split, test: Split, steps: int, minutes: float
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Train one network; return its settings, speed and accuracy on the test images, and its weights."""
    torch.manual_seed(seed)
    architecture = Architecture.model_validate({**form, "num_classes": 10})
    kind = architecture.recalibration
    network = ResNet(architecture).train().to(DEVICE).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    pixels = torch.from_numpy(train[0]).to(DEVICE)
    mean, std = channel_statistics(train[0])
    trainer = Trainer(network, pixels, torch.from_numpy(train[1]).to(DEVICE), mean, std)
    start = time.perf_counter()
    done, losses, asked = 0, [], steps
    for part, rate in ((1 / 2, 0.1), (3 / 4, 0.01), (1, 0.001)):
        trainer.capture(rate)
        done += WARM_UP
        if part == 1 / 2 and minutes:  # how many steps fit is measured on the first ones, which count
            seconds = timed(trainer, 200) / 200
            done += 200
            steps = min(steps, int(minutes * 60 / seconds))
        while done < round(part * steps):
            loss = trainer.step()
            done += 1
            if done % 1000 == 0:
                losses.append(round(float(loss), 4))
                print(
                    f"{kind} {seed}: {done} of {steps}, {time.perf_counter() - start:.0f} s, loss {losses[-1]:.3f}",
                    flush=True,
                )
    torch.cuda.synchronize()
    seconds = time.perf_counter() - start
    accuracy = trainer.accuracy(*test)
    print(f"{kind} {seed}: accuracy on the test images {100 * accuracy:.2f} % after {done} steps", flush=True)
    result = {
        **form,
        "seed": seed,
        "steps": done,
        "steps of the schedule": asked,
        "test accuracy": accuracy,
        "test images": len(test[0]),
        "training images": len(train[0]),
        "seconds": seconds,
        "ms a step": 1000 * seconds / done,
        "training loss every 1000 steps": losses,
    }
    return result, {name: value.cpu() for name, value in network.state_dict().items()}


def channel_statistics(images: NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel of the training images, where the range is 0 to 1."""
    values = images.reshape(-1, images.shape[-1]).astype(np.float32) / 255
    return tuple(torch.tensor(v, device=DEVICE).view(-1, 1, 1) for v in (values.mean(0), values.std(0)))  # type: ignore[return-value]


def timed(trainer: "Trainer", steps: int) -> float:
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(steps):
        trainer.step()
    torch.cuda.synchronize()
    return time.perf_counter() - start


class Trainer:
    """A network, its optimiser and a captured step that draws its own crops and flips on the GPU."""

    def __init__(self, network: ResNet, pixels: Tensor, labels: Tensor, mean: Tensor, std: Tensor) -> None:
        self.network = network
        self.padded = pad(pixels, [0, 0, MARGIN, MARGIN, MARGIN, MARGIN])
        self.labels = labels
        self.mean, self.std = mean, std
        own = {id(p) for m in network.modules() if isinstance(m, Recalibration) for p in m.parameters()}
        groups: dict[bool, list[Any]] = {True: [], False: []}
        for parameter in network.parameters():
            groups[id(parameter) in own].append(parameter)
        self.optimiser = torch.optim.SGD(
            [{"params": groups[False], "weight_decay": 1e-4}, {"params": groups[True], "weight_decay": 0.0}],
            lr=0.1,
            momentum=0.9,
        )
        self.chosen = torch.zeros(BATCH, dtype=torch.int64, device=DEVICE)
        self.order = torch.randperm(len(labels), device=DEVICE)
        self.position = 0
        self.graph: torch.cuda.CUDAGraph | None = None
        self.loss = torch.zeros((), device=DEVICE)

    def next_batch(self) -> None:
        """Put the next images' numbers where the step reads them; a new order for each pass, without the last part."""
        if self.position + BATCH > len(self.order):
            self.order, self.position = torch.randperm(len(self.labels), device=DEVICE), 0
        self.chosen.copy_(self.order[self.position : self.position + BATCH])
        self.position += BATCH

    def augmented(self) -> Tensor:
        """The chosen images, each in a window and a direction of its own, normalised: (N, C, H, W), channels last."""
        top, left = (torch.randint(0, 2 * MARGIN + 1, (BATCH, 1), device=DEVICE) for _ in range(2))
        flipped = torch.rand(BATCH, 1, device=DEVICE) < 0.5
        along = torch.arange(PIXELS, device=DEVICE)
        rows = top + along
        columns = left + torch.where(flipped, PIXELS - 1 - along, along)
        images = self.padded[self.chosen[:, None, None], rows[:, :, None], columns[:, None, :]]
        return self.normalised(images)

    def normalised(self, images: Tensor) -> Tensor:
        values = (images.permute(0, 3, 1, 2).float() / 255 - self.mean) / self.std
        size = self.network.architecture.image_size
        return values if size == PIXELS else interpolate(values, size=size, mode="bilinear")

    def compute(self) -> Tensor:
        self.optimiser.zero_grad(set_to_none=True)
        with torch.autocast("cuda", dtype=torch.bfloat16):
            loss = cross_entropy(self.network(self.augmented()), self.labels[self.chosen])
        loss.backward()
        self.optimiser.step()
        return loss.detach()

    def capture(self, learning_rate: float) -> None:
        """Make the step with this learning rate, after ``WARM_UP`` steps, which train like any other."""
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate
        self.graph = None
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UP):
                self.next_batch()
                self.compute()
        torch.cuda.current_stream().wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.loss = self.compute()

    def step(self) -> Tensor:
        assert self.graph is not None, "capture() comes first"
        self.next_batch()
        self.graph.replay()
        return self.loss

    @torch.inference_mode()
    def accuracy(self, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> float:
        """Share of these images whose class the network in evaluation mode tells, in float32."""
        self.network.eval()
        found = [
            self.network(self.normalised(torch.from_numpy(images[start : start + 1000]).to(DEVICE))).argmax(1)
            for start in range(0, len(images), 1000)
        ]
        return float((torch.cat(found).cpu().numpy() == labels).mean())


if __name__ == "__main__":
    typer.run(main)
