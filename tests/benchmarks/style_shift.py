"""What the style shift adds to a prediction and to a package: the same network's graph with and without it.

    python -m tests.benchmarks.style_shift --depth 18 --depth 50 --size 224

ONNX Runtime on the CPU, one image at a time, interleaved rounds; the reference is fitted on made-up styles of the right
widths, so its size is that of a real one fitted on as many images.
"""

import tempfile
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import onnxruntime
import torch
import typer

from models.architecture import Architecture
from models.card import InputSpec
from models.fold import fold
from models.resnet import ResNet
from models.style_shift import StyleShift, styles_of
from tests.benchmarks._measure import create_timer, describe_machine, interleaved, print_table
from training.data.pipeline import Normalisation
from training.packaging.export import write_graph
from training.packaging.graph import PackagedNetwork
from training.style.reference import fit_style_shift


def main(
    depth: Annotated[list[int] | None, typer.Option(help="18 and 50 without it; repeatable")] = None,
    size: int = 224,
    images: Annotated[int, typer.Option(help="How many made-up images the reference is fitted on")] = 200,
    rounds: int = 31,
    threads: Annotated[int, typer.Option(help="0 leaves ONNX Runtime's choice")] = 0,
    recalibration: str = "srm",
) -> None:
    """Print the time of a prediction and the size of the file, with and without the style shift."""
    print(describe_machine(torch.device("cpu")))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    pixels = np.random.default_rng(0).integers(0, 256, (1, size, size, 3), dtype=np.uint8)
    spec = InputSpec(height=size, width=size, channels=3)
    for each in depth or [18, 50]:
        architecture = Architecture.model_validate(
            {"depth": each, "num_classes": 4, "image_size": size, "recalibration": recalibration}
        )
        network = fold(ResNet(architecture).eval())
        calls, sizes = {}, {}
        with tempfile.TemporaryDirectory() as folder:
            for name, shift in (("without", None), ("with", made_up(network, images))):
                path = Path(folder) / f"{name}.onnx"
                packaged = PackagedNetwork(
                    network, Normalisation([0.5] * 3, [0.25] * 3), 1.0, [0.0] * 4, style_shift=shift
                )
                write_graph(packaged, spec, path)
                session: Any = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
                calls[name] = partial(session.run, None, {"image": pixels})
                sizes[name] = path.stat().st_size
            times = interleaved(calls, rounds, create_timer(torch.device("cpu")), warm_up=5)
        print_table(f"ResNet-{each}, {recalibration}, {size} px", times, 1, base="without")
        print(f"file: {sizes['without'] / 1e6:.1f} MB without, {sizes['with'] / sizes['without'] - 1:+.1%} with")


def made_up(network: ResNet, images: int) -> StyleShift:
    """A reference on random styles of the widths that the network has."""
    with torch.inference_mode():
        pixels = torch.rand(2, 3, 64, 64)
        widths = [style.shape[1] for style in styles_of(pixels, network.explain(pixels))]
    random = np.random.default_rng(0)
    train, validation = ([random.normal(size=(images, width)) for width in widths] for _ in range(2))
    return fit_style_shift([str(index) for index in range(len(widths))], train, validation).module


if __name__ == "__main__":
    typer.run(main)
