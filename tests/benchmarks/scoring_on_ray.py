"""Scoring by one worker of a Ray cluster, and by two.

    python -m tests.benchmarks.scoring_on_ray [--images 3000] [--rounds 3]

Two nodes of one CPU each, both on this machine; in each round one worker, then two. The rate is that between the first
finished part and the last, without the start of the workers. Only the ratio within a round counts where others use
the machine.
"""

import argparse
import io
import statistics
import tempfile
from pathlib import Path

from rich.console import Console

from service.scoring.command import score_source
from service.scoring.workers import Workers
from service.settings import SHIPPED_REPOSITORY, Settings
from tests.benchmarks.scoring import write_files
from tests.service.clusters import cluster_of_two

ROWS = 50


def rate(settings: Settings, folder: Path, to: Path, workers: int) -> float:
    """Images a second."""
    options = {"version": None, "frame": None, "image_column": None, "id_column": None}
    pool = Workers(workers, workers)
    quiet = Console(file=io.StringIO())
    score_source(str(folder), str(to), settings, model="oct", rows=ROWS, workers=pool, stderr=quiet, **options)
    times = sorted(path.stat().st_mtime for path in to.glob("part-*.parquet"))
    return (len(times) - workers) * ROWS / (times[-1] - times[workers - 1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    settings = Settings(model_repository=SHIPPED_REPOSITORY, provider="cpu")
    with tempfile.TemporaryDirectory() as folder, cluster_of_two():
        images = Path(folder) / "images"
        images.mkdir()
        write_files(images, asked.images)
        ratios = []
        for number in range(asked.rounds):
            one, two = (rate(settings, images, Path(folder) / f"{number}-{workers}", workers) for workers in (1, 2))
            ratios.append(two / one)
            print(f"one worker {one:.0f} images/s, two {two:.0f}: {two / one:.2f}", flush=True)
        print(f"two workers, of one: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
