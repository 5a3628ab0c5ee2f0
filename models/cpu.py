"""How many CPUs this process may use. The machine may have more."""

import math
import os
from collections.abc import Iterator
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


def usable_cpus(cgroup: Path = CGROUP, membership: Path = MEMBERSHIP) -> int:
    """Return the number of CPUs that the affinity mask and the CPU quotas of the cgroups allow, at least 1.

    Args:
        cgroup: Where the cgroup file systems are mounted.
        membership: The file that names the groups of this process (cgroups(7)).
    """
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [quota for group in groups(cgroup, membership) if (quota := quota_of(group)) is not None]
    return max(1, min([affinity, *(math.ceil(quota) for quota in quotas)]))


def groups(cgroup: Path, membership: Path) -> Iterator[Path]:
    """Yield the folder of every group that limits this process: its own, and each one around it, to the root.

    The root is there in any case, because a container may see its own group as the root.
    """
    roots: list[tuple[Path, str]] = [(cgroup, "/"), (cgroup / "cpu", "/")]
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            roots.append((cgroup, path))  # version 2
        elif "cpu" in controllers.split(","):
            roots += [(cgroup / "cpu", path), (cgroup / controllers, path)]
    for root, path in roots:
        group = Path(os.path.normpath(f"/{path.lstrip('/')}")).relative_to("/")
        for part in (group, *group.parents):
            yield root / part


def quota_of(group: Path) -> float | None:
    """The CPU quota of one cgroup (version 2 or 1), in CPUs, or None without a limit."""
    try:
        quota, period = (group / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (group / "cpu.cfs_quota_us").read_text().strip()
            period = (group / "cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    if quota in ("max", "-1"):
        return None
    return int(quota) / int(period)
