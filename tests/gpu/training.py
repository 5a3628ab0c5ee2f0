"""What SRM costs in training on a GPU, and whether the data path can feed one.

    python -m tests.gpu.training --output gpu-training.json

Needs a GPU, torch with CUDA and Triton, numpy, pydantic and typer; about 7 minutes on an H100. Step times are those of
SGD with momentum under bfloat16 autocast, channels last, on random images; the networks of a table are timed in turn,
round after round. Kinds: ``eager``, ``graph`` (the whole step as one CUDA graph), ``compile`` (``torch.compile``).
"""

import gc
import io
import json
import os
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from torch import Tensor
from torch.nn.functional import cross_entropy

from models.architecture import Architecture
from models.recalibration import StyleRecalibration
from models.resnet import ResNet
from tests.benchmarks._measure import create_timer, describe_machine, interleaved
from tests.benchmarks._networks import create_variant
from tests.gpu._feeding import compare_feed
from tests.gpu._fused import FusedBlock, normalise_and_recalibrate

DEVICE = torch.device("cuda")
CLASSES = 1000
FUSED = "srm fused"
EAGER = ("plain", "se", "srm", "srm by autograd", "official srm", FUSED)
GRAPH = ("plain", "se", "srm", FUSED)
COMPILED = ("plain", "se", "srm")

Run = Callable[[Tensor, Tensor], Any]


def main(
    output: Annotated[Path, typer.Option(help="JSON file to write")] = Path("gpu-training.json"),
    depth: Annotated[list[int] | None, typer.Option(help="18 and 50 without it; repeatable")] = None,
    size: int = 224,
    batch: int = 128,
    rounds: int = 15,
    compiled: Annotated[bool, typer.Option(help="torch.compile as well, about a minute a network")] = True,
) -> None:
    """Print tables and write every figure as JSON."""
    torch.backends.cudnn.benchmark = True
    figures: dict[str, Any] = {"machine": describe_machine(DEVICE), "size": size, "batch": batch, "rounds": rounds}
    print(figures["machine"], flush=True)
    figures["equal to autograd"] = compare_gradients()
    figures["resume is bit-exact"] = resume_is_exact()
    print(f"resume with deterministic algorithms is bit-exact: {figures['resume is bit-exact']}", flush=True)
    for each in depth or [18, 50]:
        architecture = Architecture.model_validate({"depth": each, "num_classes": CLASSES, "image_size": size})
        figures[f"ResNet-{each}"] = compare_steps(architecture, batch, rounds, compiled=compiled)
        output.write_text(json.dumps(figures, indent=2))
    static = random_batch(batch, size)
    network = build("srm", Architecture(depth=18, num_classes=CLASSES, image_size=size))
    step = captured(create_step(network), *static, torch.cuda.graph_pool_handle())
    figures["feed"] = compare_feed(static[0], partial(step, *static))
    output.write_text(json.dumps(figures, indent=2))


def build(variant: str, architecture: Architecture) -> ResNet:
    """One of the variants on the GPU, channels last, in training mode."""
    network = create_variant("srm" if variant == FUSED else variant, architecture).train()
    if variant == FUSED:
        for block in network.blocks().values():
            block.__class__ = FusedBlock
    return network.to(DEVICE).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's


def create_step(network: ResNet) -> Run:
    """Forward, loss, backward, optimiser; nothing waits for the GPU."""
    optimiser = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9, weight_decay=1e-4)

    def run(images: Tensor, labels: Tensor) -> Tensor:
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast("cuda", dtype=torch.bfloat16):
            loss = cross_entropy(network(images), labels)
        loss.backward()
        optimiser.step()
        return loss.detach()

    return run


def captured(run: Run, images: Tensor, labels: Tensor, pool: Any) -> Run:
    """The step as a CUDA graph over these images and labels, whatever they hold when it is replayed."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            run(images, labels)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, pool=pool):
        loss = run(images, labels)

    def replay(*_: Tensor, alive: Run = run) -> Tensor:
        """``alive``: the graph works on the memory of the network and the optimiser, and does not keep them."""
        graph.replay()
        return loss

    return replay


def random_batch(batch: int, size: int) -> tuple[Tensor, Tensor]:
    images = torch.randn(batch, 3, size, size, device=DEVICE).contiguous(memory_format=torch.channels_last)
    return images, torch.randint(0, CLASSES, (batch,), device=DEVICE)


def compare_steps(architecture: Architecture, batch: int, rounds: int, *, compiled: bool) -> dict[str, Any]:
    """Time of a step by kind and variant, ratio to plain of the same kind, and peak memory."""
    images, labels = random_batch(batch, architecture.image_size)
    figures: dict[str, Any] = {}
    kinds = {"eager": EAGER, "graph": GRAPH} | ({"compile": COMPILED} if compiled else {})
    for kind, variants in kinds.items():
        pool = torch.cuda.graph_pool_handle()
        calls, memory, seconds_to_start = {}, {}, {}
        for variant in variants:
            gc.collect()
            torch.cuda.empty_cache()
            before = torch.cuda.memory_allocated()
            start = time.perf_counter()
            network = build(variant, architecture)
            if kind == "compile":
                network.compile()
            run = create_step(network)
            run(images, labels)
            torch.cuda.synchronize()
            seconds_to_start[variant] = time.perf_counter() - start
            torch.cuda.reset_peak_memory_stats()
            run(images, labels)
            memory[variant] = (torch.cuda.max_memory_allocated() - before) / 2**20
            if kind == "graph":
                run = captured(run, images, labels, pool)
            calls[variant] = partial(run, images, labels)
        times = interleaved(calls, rounds, create_timer(DEVICE), warm_up=3)
        figures[kind] = table(f"ResNet-{architecture.depth}, {kind}", times, memory, batch)
        figures[kind]["seconds to the first step"] = seconds_to_start
        calls.clear()
        torch._dynamo.reset()
    return figures


def table(title: str, times: dict[str, list[float]], memory: dict[str, float], batch: int) -> dict[str, Any]:
    """Print and return milliseconds, images a second, MiB and images a second relative to plain of the same round."""
    print(f"\n{title:<30}{'ms':>9}{'img/s':>9}{'MiB':>9}{'/ plain':>9}")
    rows: dict[str, Any] = {}
    for variant, seconds in times.items():
        ratio = statistics.median(plain / own for own, plain in zip(seconds, times["plain"], strict=True))
        median = statistics.median(seconds)
        rows[variant] = {
            "ms": 1000 * median,
            "quartiles ms": [1000 * value for value in statistics.quantiles(seconds, n=4)],
            "images/s": batch / median,
            "MiB": memory[variant],
            "images/s relative to plain": ratio,
        }
        print(
            f"{variant:<30}{1000 * median:>9.2f}{batch / median:>9.0f}{memory[variant]:>9.0f}{ratio:>9.3f}", flush=True
        )
    return rows


def compare_gradients() -> dict[str, float]:
    """Relative error against autograd in float64, of the block's end in bfloat16: by autograd, by hand, fused.

    Output, and gradients of the features, the shortcut and SRM's weights, each ``|error| / |reference|``.
    """
    torch.manual_seed(0)
    n, c, size = 32, 256, 28
    x = (3 * torch.randn(n, c, size, size, device=DEVICE) + torch.randn(n, c, 1, 1, device=DEVICE)).bfloat16()
    shortcut, dy = (torch.randn_like(x).contiguous(memory_format=torch.channels_last) for _ in range(2))
    x = x.contiguous(memory_format=torch.channels_last)
    bn, srm = torch.nn.BatchNorm2d(c).to(DEVICE), StyleRecalibration(c).to(DEVICE)
    torch.nn.init.normal_(srm.cfc)
    torch.nn.init.uniform_(bn.weight, 0.5, 1.5)

    def results(way: str) -> list[Tensor]:
        kind = torch.float64 if way == "reference" else torch.bfloat16
        modules = [module.to(torch.float64 if way == "reference" else torch.float32) for module in (bn, srm)]
        own_x, own_shortcut = (t.detach().to(kind).requires_grad_() for t in (x, shortcut))
        for module in modules:
            module.zero_grad()
        if way == "fused":
            out, _ = normalise_and_recalibrate(own_x, own_shortcut, bn, srm)
        else:
            y = bn(own_x)
            if way == "by hand":
                out = srm(y, own_shortcut)[0].relu_()
            else:
                gate = srm.gate(y)
                out = torch.addcmul(own_shortcut, y, gate.to(y.dtype)[:, :, None, None]).relu()
        out.backward(dy.to(kind))
        assert srm.cfc.grad is not None
        found = [out, own_x.grad, own_shortcut.grad, srm.cfc.grad]
        return [value.detach().double().clone() for value in found if value is not None]

    reference = results("reference")
    errors: dict[str, float] = {}
    for way in ("by autograd", "by hand", "fused"):
        found = results(way)
        worst = zip(("output", "dx", "dshortcut", "dcfc"), found, reference, strict=True)
        errors |= {f"{way}, {name}": float((a - b).norm() / b.norm()) for name, a, b in worst}
    print("\n".join(f"relative error {name:<26}{value:.2e}" for name, value in errors.items()), flush=True)
    return errors


def resume_is_exact() -> bool:
    """Four steps, saved, and four more, against four more from the file, bit for bit, with deterministic algorithms."""
    torch.use_deterministic_algorithms(True)
    benchmark, torch.backends.cudnn.benchmark = torch.backends.cudnn.benchmark, False
    try:
        architecture = Architecture(depth=18, num_classes=CLASSES, image_size=64)
        batches = [random_batch(16, 64) for _ in range(8)]

        def create() -> tuple[ResNet, torch.optim.Optimizer, Run]:
            network = build("srm", architecture)
            optimiser = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)

            def run(images: Tensor, labels: Tensor) -> None:
                optimiser.zero_grad(set_to_none=True)
                with torch.autocast("cuda", dtype=torch.bfloat16):
                    loss = cross_entropy(network(images), labels)
                loss.backward()
                optimiser.step()

            return network, optimiser, run

        straight, optimiser, run = create()
        for each in batches[:4]:
            run(*each)
        file = io.BytesIO()
        torch.save({"network": straight.state_dict(), "optimiser": optimiser.state_dict()}, file)
        file.seek(0)
        for each in batches[4:]:
            run(*each)
        resumed, optimiser, run = create()
        state = torch.load(file, weights_only=True)
        resumed.load_state_dict(state["network"])
        optimiser.load_state_dict(state["optimiser"])
        for each in batches[4:]:
            run(*each)
        pairs = zip(straight.state_dict().values(), resumed.state_dict().values(), strict=True)
        return all(torch.equal(a, b) for a, b in pairs)
    finally:
        torch.use_deterministic_algorithms(False)
        torch.backends.cudnn.benchmark = benchmark


if __name__ == "__main__":
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # deterministic algorithms ask for it
    typer.run(main)
