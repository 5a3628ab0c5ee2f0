"""A Ray cluster of two machines that are both this one."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

STORE = 100 << 20
"""Bytes of the memory for objects, of each machine."""


class Two:
    """A head and a second node, each with one CPU."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        self.node: dict[str, Any] = {"num_cpus": 1, "object_store_memory": STORE}
        self.cluster = Cluster(initialize_head=True, head_node_args=self.node | {"include_dashboard": False})
        self.add_second()

    def add_second(self) -> None:
        self.second = self.cluster.add_node(**self.node)
        self.cluster.wait_for_nodes(60)

    def kill_second(self) -> None:
        self.cluster.remove_node(self.second, allow_graceful=False)


@contextmanager
def cluster_of_two() -> Iterator[Two]:
    """Connect this process to a new cluster."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray

    two = Two()
    try:
        ray.init(address=two.cluster.address, log_to_driver=False, logging_level=logging.ERROR)
        yield two
    finally:
        ray.shutdown()
        two.cluster.shutdown()
