"""``torchrun`` on two hosts, which are two network namespaces with a cable between them; one of them dies."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import yaml

from tests.training.tiny_data import medmnist_arrays, recipe_content, write_medmnist
from training.run import Run

ROOT = Path(__file__).resolve().parents[2]
ADDRESSES = ("10.213.77.1", "10.213.77.2")
SCRIPT = """
import os
import signal
import sys
from pathlib import Path
import torch
from training.fitting.engine import fit
from training.recipe import load_recipe

recipe, folder, resume, last = sys.argv[1], Path(sys.argv[2]), sys.argv[3] == "resume", int(sys.argv[4])
steps, step = 0, torch.optim.AdamW.step

def counted(*arguments, **options):
    global steps
    steps += 1
    if steps == last and os.environ["RANK"] == "1":
        os.kill(os.getppid(), signal.SIGKILL)  # torchrun of this host
        os.kill(os.getpid(), signal.SIGKILL)
    return step(*arguments, **options)

torch.optim.AdamW.step = counted
fit(load_recipe(recipe), folder, resume=resume, progress=False)
Path(f"{folder}.{os.environ['RANK']}").write_text(str(steps))
"""
FEW = {"train": (12, 8, 6, 4, 4), "val": (3, 2, 2, 2, 2), "test": (1, 1, 1, 1, 1)}
BATCH = 8
STEPS = sum(FEW["train"]) // BATCH
"""Of an epoch, at least."""


def ip(*words: str) -> None:
    subprocess.run([shutil.which("ip") or "ip", *words], check=True, capture_output=True)


@pytest.fixture(scope="module")
def hosts() -> Iterator[tuple[str, str]]:
    """Two hosts that reach each other and nothing else."""
    one, other = (f"retina-{os.getpid()}-{number}" for number in (0, 1))
    try:
        ip("netns", "add", one)
        ip("netns", "add", other)
        ip("link", "add", "eth0", "netns", one, "type", "veth", "peer", "name", "eth0", "netns", other)
        for host, address in zip((one, other), ADDRESSES, strict=True):
            ip("-n", host, "address", "add", f"{address}/24", "dev", "eth0")
            for link in ("lo", "eth0"):
                ip("-n", host, "link", "set", link, "up")
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"this process may not make network namespaces: {error}")
    yield one, other
    for host in (one, other):
        ip("netns", "delete", host)


def train(hosts: tuple[str, str], recipe: Path, run: Path, how: str = "begin", last: int = 0) -> list[int]:
    """Train on both hosts, and return the exit status of each ``torchrun``."""
    script = recipe.with_name("script.py")
    script.write_text(SCRIPT)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1"]
    meeting = ["--rdzv-backend", "c10d", "--rdzv-endpoint", f"{ADDRESSES[0]}:29500", "--rdzv-id", run.name]
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
        "GLOO_SOCKET_IFNAME": "eth0",  # as docs/training.md says
    }
    processes = [
        subprocess.Popen(
            [
                *("ip", "netns", "exec", host, *torchrun, *meeting, "--local-addr", address),
                *("--rdzv-conf", f"is_host={int(address == ADDRESSES[0])}"),  # both have this machine's name
                *("--", script, recipe, run, how, str(last)),
            ],
            env=environment,
            stderr=(recipe.parent / f"{host}.log").open("a"),
        )
        for host, address in zip(hosts, ADDRESSES, strict=True)
    ]
    try:
        return [process.wait(300) for process in processes]
    finally:
        for process in processes:
            process.kill()


def test_a_host_dies_and_the_run_goes_on_to_the_same_weights(hosts: tuple[str, str], tmp_path: Path) -> None:
    data = write_medmnist(tmp_path / "few.npz", medmnist_arrays(FEW))
    recipe = tmp_path / "recipe.yaml"
    content = recipe_content(data, epochs=2, batch_size=BATCH, network={"depth": 20, "width": 0.25})
    recipe.write_text(yaml.safe_dump(content))
    whole, stopped = Run(tmp_path / "whole"), Run(tmp_path / "stopped")
    assert train(hosts, recipe, whole.folder) == [0, 0]

    ended = train(hosts, recipe, stopped.folder, last=STEPS + 3)
    assert ended[1] == -9
    assert ended[0] != 0
    assert list((stopped.folder / "checkpoints").iterdir()), "it died in its first epoch"
    assert train(hosts, recipe, stopped.folder, how="resume") == [0, 0]
    taken = [[int(Path(f"{run.folder}.{rank}").read_text()) for rank in (0, 1)] for run in (whole, stopped)]
    assert taken[1] == [steps // 2 for steps in taken[0]], "it did not go on behind its first epoch"
    expected, found = (torch.load(run.checkpoint("last"), weights_only=True)["network"] for run in (whole, stopped))
    assert found.keys() == expected.keys()
    assert [name for name, values in expected.items() if not torch.equal(found[name], values)] == []
