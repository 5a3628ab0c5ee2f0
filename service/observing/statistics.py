"""Counts and times of one model since it was loaded, as in the statistics extension of Triton.

Prometheus has the distributions. These are the sums that ``perf_analyzer`` and other clients of the protocol read, for
each version and each batch size. Only the thread of the event loop writes them, so there are no locks.
"""

import time
from dataclasses import dataclass, field
from typing import Any


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

    def executed(self, waits: list[float], seconds: float) -> None:
        """Count a batch that has run: how long each of its images waited, and how long the run took."""
        self.queue.add(sum(waits), len(waits))
        self.compute_infer.add(seconds * len(waits), len(waits))
        self.batches.setdefault(len(waits), Duration()).add(seconds)
        self.last_inference = time.time()

    def document(self, name: str, version: str) -> dict[str, Any]:
        """Write ``$model_stat`` of the extension. No answer is cached, so ``cache_hit`` and ``cache_miss`` stay 0."""
        none = Duration().document()
        stages = ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output")
        return {
            "name": name,
            "version": version,
            "last_inference": round(self.last_inference * 1000),
            "inference_count": self.compute_infer.count,
            "execution_count": sum(runs.count for runs in self.batches.values()),
            "inference_stats": {stage: getattr(self, stage).document() for stage in stages}
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
