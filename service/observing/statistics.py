"""Counts and times of one model since it was loaded, as in the statistics extension of Triton.

Prometheus has the distributions. These are the sums that ``perf_analyzer`` and other clients of the protocol read, for
each version and each batch size. Only the thread of the event loop writes them, so there are no locks. With several
workers they are sums over all of them.
"""

import time
from dataclasses import dataclass, field
from typing import Any

from service.workers.sums import Sums

STAGES = ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output")
LAST = "last_inference"


@dataclass
class Duration:
    """How often something happened, and its total time."""

    count: int = 0
    seconds: float = 0.0

    def add(self, seconds: float, count: int = 1) -> None:
        self.count += count
        self.seconds += seconds

    def document(self) -> dict[str, int]:
        return {"count": self.count, "ns": round(self.seconds * 1e9)}


@dataclass
class Statistics:
    """The sums of one model. ``success`` and ``fail`` count requests; the stages between them count images."""

    success: Duration = field(default_factory=Duration)
    fail: Duration = field(default_factory=Duration)
    queue: Duration = field(default_factory=Duration)
    compute_input: Duration = field(default_factory=Duration)
    compute_infer: Duration = field(default_factory=Duration)
    compute_output: Duration = field(default_factory=Duration)
    batches: dict[int, Duration] = field(default_factory=dict)
    """Batch size to its runs."""
    last_inference: float = 0.0
    """Seconds since the epoch; 0 before the first."""

    def of_size(self, size: int) -> Duration:
        """The runs of batches of this size."""
        return self.batches.setdefault(size, Duration())

    def executed(self, waits: list[float], seconds: float) -> None:
        """Count a batch that has run: how long each of its images waited, and how long the run took."""
        self.queue.add(sum(waits), len(waits))
        self.compute_infer.add(seconds * len(waits), len(waits))
        self.of_size(len(waits)).add(seconds)
        self.last_inference = time.time()

    def document(self, name: str, version: str) -> dict[str, Any]:
        """Write ``$model_stat`` of the extension. No answer is cached, so ``cache_hit`` and ``cache_miss`` stay 0."""
        none = Duration().document()
        return {
            "name": name,
            "version": version,
            "last_inference": round(self.last_inference * 1000),
            "inference_count": self.compute_infer.count,
            "execution_count": sum(runs.count for runs in self.batches.values()),
            "inference_stats": {stage: getattr(self, stage).document() for stage in STAGES}
            | {"cache_hit": none, "cache_miss": none},
            "batch_stats": [
                {
                    "batch_size": size,
                    "compute_input": none,
                    "compute_infer": runs.document(),
                    "compute_output": none,
                }
                for size, runs in sorted(self.batches.items())
            ],
        }


class SharedDuration(Duration):
    """A duration in the file of a worker's seat."""

    def __init__(self, sums: Sums, key: str) -> None:
        super().__init__()
        self.sums = sums
        self.key = key

    def add(self, seconds: float, count: int = 1) -> None:
        self.sums.add(self.key, count, seconds)


class SharedStatistics(Statistics):
    """The sums of one model over all workers, also over those that died.

    Args:
        sums: the files of the workers.
        model: name, version and digest. After the last, an unloaded model starts again from 0.
    """

    def __init__(self, sums: Sums, model: tuple[str, str, str]) -> None:
        self.sums = sums
        self.prefix = "\t".join((*model, ""))
        super().__init__()
        for stage in STAGES:
            setattr(self, stage, SharedDuration(sums, self.prefix + stage))

    def of_size(self, size: int) -> Duration:
        if size not in self.batches:
            self.batches[size] = SharedDuration(self.sums, f"{self.prefix}{size}")
        return self.batches[size]

    def executed(self, waits: list[float], seconds: float) -> None:
        super().executed(waits, seconds)
        self.sums.put(self.prefix + LAST, 0.0, self.last_inference)

    def clear(self) -> None:
        """Forget what this worker counted."""
        self.sums.clear(self.prefix)

    def document(self, name: str, version: str) -> dict[str, Any]:
        total = Statistics()
        for key, count, seconds in self.sums.read(self.prefix):
            if key == LAST:
                total.last_inference = max(total.last_inference, seconds)
            elif count:
                part = total.of_size(int(key)) if key.isdecimal() else getattr(total, key)
                part.add(seconds, int(count))
        return total.document(name, version)
