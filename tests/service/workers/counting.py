"""A worker that does to its metrics what it is told: a real process, which a test may kill."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

ROOT = Path(__file__).resolve().parents[3]
CODE = """
import json, sys, time
from pathlib import Path
from service.observing.metrics import Metrics, ModelLabels, ModelMetrics
from service.records.metrics import RecordMetrics
from service.workers.seat import Seat

metrics = Metrics(Seat(int(sys.argv[1]), 3, Path(sys.argv[2])))
records = RecordMetrics(metrics.registry)
labels = ModelLabels("eye", "7", "sha256:a", "CPUExecutionProvider", ("ill", "well"), (("threads", 4), ("batch", 8)))
for line in sys.stdin:
    answer = None
    exec(line)
    print(json.dumps(answer), flush=True)
"""
Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


class Worker:
    """A process with the metrics of a seat, whose variables are those of its code and what it is told."""

    def __init__(self, folder: Path, index: int, code: str = CODE, *arguments: str) -> None:
        self.index = index
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, str(index), str(folder), *arguments],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def do(self, line: str) -> Any:
        """Run a line of Python there, and return what it made ``answer``."""
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(line + "\n")
        stdin.flush()
        return json.loads(stdout.readline())

    def series(self) -> Series:
        """What it tells in Prometheus's text format, read by Prometheus's parser."""
        return parsed(self.do("answer = metrics.text().decode()"))

    def kill(self) -> None:
        """End it by SIGKILL."""
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()
        self.process.kill()
        self.process.wait(10)


def parsed(text: str) -> Series:
    """Every sample by its name and labels. No sample is there twice."""
    found: Series = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found
            found[key] = sample.value
    return found


def of(series: Series, name: str, **labels: str) -> list[float]:
    """The values of the samples of this name that have these labels."""
    return [value for (called, has), value in series.items() if called == name and labels.items() <= dict(has).items()]
