"""gRPC beside REST with binary tensors: the same model, the same pixels, interleaved rounds in one run.

    python -m tests.benchmarks.grpc_beside_rest --model oct --rounds 5

The ratio of each round is gRPC's requests a second over REST's, with the client's own cost in both: REST is sent as
bytes by ``_load``, gRPC by ``grpc.aio``, each from a process of its own. The CPU time is that of the service alone.
"""

import asyncio
import json
import multiprocessing
import time
from collections.abc import Callable
from statistics import median
from typing import Annotated

import grpc
import httpx
import numpy as np
import typer
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2 as pb

from service.settings import SHIPPED_REPOSITORY
from tests.benchmarks._load import Request, measure
from tests.benchmarks._processes import cpu_seconds, tree
from tests.service.rpc.calling import SERVICE, Site, serving

Way = Callable[[Site, str, NDArray[np.uint8], int, float], float]
HEADER = "Inference-Header-Content-Length"


def drive(target: str, message: bytes, connections: int, seconds: float) -> float:
    """Requests a second that gRPC answers, over a channel for each of the connections."""
    return asyncio.run(drive_channels(target, message, connections, seconds))


async def drive_channels(target: str, message: bytes, connections: int, seconds: float) -> float:
    end = time.perf_counter() + seconds

    async def channel(index: int) -> int:
        answered = 0
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(target, options=options) as opened:
            infer = opened.unary_unary(f"/{SERVICE}/ModelInfer")
            while time.perf_counter() < end:
                await infer(message)
                answered += 1
        return answered

    return sum(await asyncio.gather(*map(channel, range(connections)))) / seconds


def rest(site: Site, model: str, pixels: NDArray[np.uint8], connections: int, seconds: float) -> float:
    tensor = {"name": "image", "shape": pixels.shape, "datatype": "UINT8"}
    content = {
        "inputs": [tensor | {"parameters": {"binary_data_size": pixels.nbytes}}],
        "parameters": {"binary_data_output": True},
    }
    text = json.dumps(content).encode()
    address = f"{site.http}/v2/models/{model}/infer"
    request = Request(address, text + pixels.tobytes(), ((HEADER, str(len(text))),))
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measure, (request, connections, seconds)).per_second


def rpc(site: Site, model: str, pixels: NDArray[np.uint8], connections: int, seconds: float) -> float:
    message = pb.ModelInferRequest(model_name=model, raw_input_contents=[pixels.tobytes()])
    message.inputs.add(name="image", datatype="UINT8", shape=pixels.shape)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(drive, (site.grpc, message.SerializeToString(), connections, seconds))


def main(
    model: Annotated[str, typer.Option(help="An included model")] = "oct",
    rounds: int = 3,
    seconds: Annotated[float, typer.Option(help="Length of each measurement")] = 2.0,
) -> None:
    """Print a line for each number of connections."""
    with serving(SHIPPED_REPOSITORY) as site:
        shape = httpx.get(f"{site.http}/v2/models/{model}").json()["inputs"][0]["shape"][1:]
        pixels = np.random.default_rng(0).integers(0, 256, (1, *shape), dtype=np.uint8)
        for connections in (1, 8):
            ratios: list[float] = []
            costs: dict[Way, list[float]] = {rest: [], rpc: []}
            for _ in range(rounds):
                figures: list[float] = []
                for way in (rest, rpc):
                    before = cpu_seconds(tree(site.process.pid))
                    figures.append(way(site, model, pixels, connections, seconds))
                    spent = cpu_seconds(tree(site.process.pid)) - before
                    costs[way].append(1000 * spent / (figures[-1] * seconds))
                ratios.append(figures[1] / figures[0])
            print(
                f"{model}, {connections} connections: gRPC / REST {median(ratios):.2f} of requests a second "
                f"({min(ratios):.2f} to {max(ratios):.2f}); CPU of the service: REST {median(costs[rest]):.2f} ms, "
                f"gRPC {median(costs[rpc]):.2f} ms a request; last round {figures[0]:.0f} and {figures[1]:.0f} a second"
            )


if __name__ == "__main__":
    typer.run(main)
