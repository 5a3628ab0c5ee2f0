"""Scoring in bulk against bare ONNX Runtime, and its memory over many images.

    python -m tests.benchmarks.scoring [--images 100000] [--rounds 5] [--seconds 4]

In each round, in turn: bare ONNX Runtime on tensors ready in memory (a session of one thread, called from as many
threads as there are CPUs); the same with the files read and decoded in those threads before; and scoring, from the
listed files to Parquet parts on the disk. Only the ratios within a round count where others use the machine. Then the
command scores ``--images`` files, and its memory is read every half second.
"""

import argparse
import io
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.console import Console

from models.cpu import usable_cpus
from models.preprocessing import preprocess
from service.inference.execution import execution_of
from service.inference.plans import processor
from service.offline import choose
from service.scoring.command import run_of, score
from service.scoring.results import Results
from service.scoring.sources import open_source
from service.settings import Settings
from tests.benchmarks._limit import calls, session_of
from tests.benchmarks._processes import Others, resident_bytes

B_SCAN = Path(__file__).resolve().parents[2] / "service" / "page" / "demo" / "oct.jpeg"
PICTURES = 256
BATCHES = (1, 2, 4, 8)
OUTPUTS = ("probabilities", "recalibration_weights", "style_shift")


def write_files(folder: Path, count: int) -> None:
    """B-scans as JPEG files: different pictures, each under many names."""
    with Image.open(B_SCAN) as image:
        scan = np.asarray(image.convert("L")).astype(int)
    random = np.random.default_rng(0)
    for index in range(count):
        path = folder / f"{index // 1000:03}" / f"{index:06}.jpg"
        path.parent.mkdir(exist_ok=True)
        if index < PICTURES:
            moved = np.roll(scan, random.integers(-20, 20), axis=0) + random.normal(0, 4, scan.shape)
            stream = io.BytesIO()
            Image.fromarray(moved.clip(0, 255).astype(np.uint8)).save(stream, "JPEG", quality=90)
            path.write_bytes(stream.getvalue())
        else:
            first = index % PICTURES
            path.hardlink_to(folder / f"{first // 1000:03}" / f"{first:06}.jpg")


def decoded(session: Any, files: list[Path], spec: Any, batch: int, seconds: float) -> float:
    """Images a second of a loop in each of some threads: read, decode, run. Nothing is kept."""
    names, lock, done = itertools.cycle(files), threading.Lock(), []
    begin = time.perf_counter()

    def work() -> None:
        while time.perf_counter() < begin + seconds:
            with lock:
                chosen = list(itertools.islice(names, batch))
            images = np.stack([preprocess(path.read_bytes(), spec).pixels for path in chosen])
            session.run(OUTPUTS, {"image": images})
            done.append(batch)

    threads = [threading.Thread(target=work) for _ in range(usable_cpus())]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(done) / (time.perf_counter() - begin)


def compare(settings: Settings, folder: Path, to: Path, rounds: int, seconds: float) -> None:
    """Print the images a second of the three, and their ratios."""
    model = choose(settings, execution_of(settings), "oct", None)
    spec, session = model.card.input, session_of(str(model.path), 1)
    files = sorted(folder.rglob("*.jpg"))[:PICTURES]
    ready = np.stack([preprocess(path.read_bytes(), spec).pixels for path in files[:16]])
    cpus = usable_cpus()
    found = {batch: calls(session, ready[:batch], cpus, seconds / 2)["images/s"] for batch in BATCHES}
    best = max(found, key=lambda batch: found[batch])
    sizes = {batch: decoded(session, files, spec, batch, seconds / 2) for batch in BATCHES}
    best_decoded = max(sizes, key=lambda batch: sizes[batch])
    source = open_source(str(folder))
    names = {"bare": f"bare, batch {best}", "decoded": f"with decoding, batch {best_decoded}", "scoring": "scoring"}
    rates: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        rates["bare"].append(calls(session, ready[:best], cpus, seconds)["images/s"])
        rates["decoded"].append(decoded(session, files, spec, best_decoded, seconds))
        results = Results(to / str(number))
        run = run_of(model, source, settings, 4096, None)
        run = run.model_copy(update={"images": min(run.images, int(seconds * rates["decoded"][-1]) + 1)})
        results.begin(run)
        start = time.perf_counter()
        score(model, source, results, run, settings, Console(file=io.StringIO()))
        rates["scoring"].append(run.images / (time.perf_counter() - start))
    for name, shown in names.items():
        print(f"{shown:<26}{statistics.median(rates[name]):>8.0f} images/s")
    for base in ("bare", "decoded"):
        ratios = sorted(ours / theirs for ours, theirs in zip(rates["scoring"], rates[base], strict=True))
        print(f"scoring / {names[base]:<22} {statistics.median(ratios):.3f}   {ratios[0]:.3f} to {ratios[-1]:.3f}")


def watch(folder: Path, to: Path, count: int) -> None:
    """Print the memory of the command at a tenth of the images, at the end, and at most."""
    command = [
        sys.executable,
        "-m",
        "service",
        "score",
        str(folder),
        "--to",
        str(to),
        "--model",
        "oct",
        "--rows",
        "1000",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    start, memory = time.perf_counter(), dict[int, int]()
    while process.poll() is None:
        parts = len(list(to.glob("part-*.parquet")))
        memory[parts] = resident_bytes(process.pid) or memory.get(parts, 0)
        time.sleep(0.5)
    assert process.stdout is not None
    print(process.stdout.read().rstrip())
    last = max(memory)
    early = next(memory[part] for part in sorted(memory) if part >= last / 10)
    early, late, most = (round(value / 2**20) for value in (early, memory[last], max(memory.values())))
    print(
        f"memory: {early} MiB after a tenth of {count:,} images, {late} MiB at the end, {most} MiB at most; "
        f"{time.perf_counter() - start:.0f} s with the start"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4)
    arguments = parser.parse_args()
    print(f"{processor()}, {usable_cpus()} CPUs, niceness {os.nice(0)}")
    with tempfile.TemporaryDirectory() as temporary, Others() as others:
        folder = Path(temporary) / "files"
        folder.mkdir()
        write_files(folder, arguments.images)
        settings = Settings(provider="cpu")
        compare(settings, folder, Path(temporary) / "rounds", arguments.rounds, arguments.seconds)
        watch(folder, Path(temporary) / "all", arguments.images)
    print(f"other processes took {others.cores:.1f} cores")


if __name__ == "__main__":
    main()
