"""What a process and all it has started take, from Linux's /proc: seconds of CPU and bytes of memory."""

import os
import time
from pathlib import Path

PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK")


def tree(root: int) -> set[int]:
    """The process and everything below it that still runs."""
    children: dict[int, list[int]] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit() and (fields := stat_of(int(entry.name))):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found, waiting = set[int](), [root]
    while waiting:
        process = waiting.pop()
        found.add(process)
        waiting += children.get(process, [])
    return found


def stat_of(process: int) -> list[str]:
    """Fields of /proc/PID/stat from the state on, or none where the process has ended."""
    try:
        return (PROC / str(process) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def cpu_seconds(processes: set[int]) -> float:
    """User and system time of the processes and of the children that they have waited for."""
    return sum(sum(map(int, fields[11:15])) for process in processes if (fields := stat_of(process))) / TICKS


def machine_seconds() -> float:
    """CPU time that any process or another guest of the host has taken; interrupts are left out."""
    user, nice, system, _, _, _, _, steal, *_ = map(int, (PROC / "stat").read_text().split("\n", 1)[0].split()[1:])
    return (user + nice + system + steal) / TICKS


def resident_bytes(root: int) -> int:
    """Memory of the tree. A page that several processes share counts once."""
    total = 0
    for process in tree(root):
        try:
            lines = (PROC / str(process) / "smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total


class Others:
    """Cores that processes outside this one's tree take between ``__enter__`` and ``__exit__``."""

    cores = 0.0

    def __enter__(self) -> "Others":
        self.start, self.before = time.perf_counter(), self.outside()
        return self

    def __exit__(self, *_: object) -> None:
        self.cores = (self.outside() - self.before) / (time.perf_counter() - self.start)

    def outside(self) -> float:
        return machine_seconds() - cpu_seconds(tree(os.getpid()))
