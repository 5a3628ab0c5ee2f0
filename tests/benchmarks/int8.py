"""INT8 against float32, of a run: size, differences on the validation split, and images a second on one thread.

    OMP_NUM_THREADS=1 python -m tests.benchmarks.int8 RUN

Every figure is shown, whether the export would accept the package or not. The test split is not opened.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime

from models.fold import fold
from training.datasets.base import labels_of
from training.evaluation.evaluate import make_ready
from training.packaging.export import write_graph
from training.packaging.graph import PackagedNetwork
from training.packaging.int8.differences import answers, described, differences, open_graph
from training.packaging.int8.quantise import LEFT_IN_FLOAT, images, ranked, training_images
from training.packaging.int8.quantiser import Quantiser
from training.run import Run

ROUNDS, SECONDS = 15, 0.4


def session_of(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def images_a_second(paths: list[Path], batch: np.ndarray) -> list[float]:
    """Medians over interleaved rounds."""
    sessions = [session_of(path) for path in paths]
    rates: list[list[float]] = [[] for _ in paths]
    for round_ in range(ROUNDS + 1):
        for session, found in zip(sessions, rates, strict=True):
            start, runs = time.perf_counter(), 0
            while time.perf_counter() - start < SECONDS:
                session.run(None, {"image": batch})
                runs += 1
            if round_:  # the first one warms up
                found.append(runs * len(batch) / (time.perf_counter() - start))
    return [statistics.median(found) for found in rates]


def main(run: Run, folder: Path) -> None:
    facts, ready = run.facts(), make_ready(run)
    calibrator, items = ready.calibrator, ready.data.splits["val"]
    network = PackagedNetwork(
        fold(ready.network.cpu()),
        facts.normalisation,
        calibrator.temperature,
        calibrator.log_prior_shift.tolist(),
        multi_label=ready.data.multi_label,
        style_shift=ready.reference.module,
    )
    paths = [folder / "float32.onnx"]
    write_graph(network, facts.input, paths[0])
    before = answers(open_graph(paths[0]), images(items, facts.input))
    calibration, others = training_images(ready.data)
    quantiser = Quantiser(paths[0], np.concatenate(list(images(calibration, facts.input))))
    worst = ranked(quantiser, folder / "draft.onnx", np.concatenate(list(images(others, facts.input))))
    for count in LEFT_IN_FLOAT:
        paths.append(folder / f"int8-{count}.onnx")
        quantiser.write(paths[-1], [name for name in quantiser.nodes if name not in worst[:count]])
        after = answers(open_graph(paths[-1]), images(items, facts.input))
        found = differences(before, after, labels_of(items), ready.reference.reference)
        print(f"{count} of {len(worst)} convolutions left in float32: {', '.join(worst[:count])}\n  {described(found)}")
    stack = next(images(items[:8], facts.input))
    for size in (1, 8):
        for path, rate in zip(paths, images_a_second(paths, stack[:size]), strict=True):
            print(f"{path.stem}, {path.stat().st_size / 1e6:.1f} MB, batch {size}: {rate:.0f} images/s")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        main(Run.open(Path(sys.argv[1])), Path(folder))
