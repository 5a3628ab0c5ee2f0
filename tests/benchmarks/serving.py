"""This service and its peers against bare ONNX Runtime: one package, one machine, interleaved rounds.

    python -m tests.benchmarks.serving --output serving.json
    python -m tests.benchmarks.serving --peer fastapi --peer litserve --rounds 1 --seconds 1

The limit is the most images a second that ONNX Runtime answers from tensors ready in memory. It is measured in every
round, and ratios are taken within a round. Latencies are relative to one image in bare ONNX Runtime on all threads.
A measurement during which other processes took more than a quarter of a core is repeated once, and then left out.

Needs Linux, what trains, and a package index for the peers' environments. With all peers three rounds
of both packages take about half an hour.
"""

import json
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer

from tests.benchmarks._bodies import KINDS, service_requests
from tests.benchmarks._limit import LONE, Limit
from tests.benchmarks._load import Request, measure
from tests.benchmarks._packages import write_package
from tests.benchmarks._peers import PEERS, PeerError, service, started
from tests.benchmarks._processes import Others, cpu_seconds, resident_bytes, tree
from tests.service.process import ROOT

CONNECTIONS = (1, 8, 32)
SIZES = {224: "imagenet", 28: "small"}
OURS = "service"
Figures = dict[str, Any]


def main(
    output: Annotated[Path, typer.Option(help="JSON file to write")] = Path("serving.json"),
    peer: Annotated[list[str] | None, typer.Option(help=f"{', '.join(PEERS)}; all without it; repeatable")] = None,
    depth: Annotated[int, typer.Option(help="Of the network at 224 px; at 28 px it is 18")] = 18,
    size: Annotated[list[int] | None, typer.Option(help="224 or 28 px; both without it; repeatable")] = None,
    connections: Annotated[list[int] | None, typer.Option(help="1, 8 and 32 without it; repeatable")] = None,
    kind: Annotated[list[str] | None, typer.Option(help=f"{'; '.join(KINDS)}; all without it; repeatable")] = None,
    rounds: int = 3,
    seconds: Annotated[float, typer.Option(help="Length of each measurement")] = 3.0,
    quiet: Annotated[float, typer.Option(help="Most cores that other processes may take")] = 0.25,
    environments: Annotated[Path, typer.Option(help="Folder of the peers' environments")] = ROOT / "build" / "peers",
) -> None:
    """Print tables and write every figure as JSON."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the servers are stopped then too
    environments = environments.absolute()
    environments.mkdir(parents=True, exist_ok=True)
    cells = [(each, count) for each in kind or KINDS for count in connections or CONNECTIONS]
    figures: Figures = {"rounds": rounds, "seconds": seconds, "quiet": quiet, "cpus": len(os.sched_getaffinity(0))}
    for pixels in size or SIZES:
        with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
            package = write_package(Path(folder), depth if pixels == 224 else 18, pixels, SIZES[pixels])
            name = package.parts[-3]
            limit = Limit(package, pixels)
            stack.callback(limit.stop)
            servers, faults = start(peer or list(PEERS), package, pixels, environments, stack)
            bench = Bench(limit, servers, seconds, quiet)
            figures[name] = {"not started": faults, "limit": bench.choose(), "idle cores": bench.idle()}
            figures[name]["cells"] = {
                f"{label}, {count} connections": bench.cell(label, count, rounds) for label, count in cells
            }
            figures[name]["memory"] = bench.memory()
        show(name, figures[name])
        output.write_text(json.dumps(figures, indent=2))


def start(
    peers: list[str], package: Path, size: int, environments: Path, stack: ExitStack
) -> tuple[dict[str, tuple[int, dict[str, Request]]], dict[str, str]]:
    """Process and bodies of every server that starts, and the fault of every other."""
    process, address = stack.enter_context(service(environments, package))
    servers = {OURS: (process, service_requests(address, package.parts[-3], size))}
    faults = {}
    for name in peers:
        try:
            pid, address = stack.enter_context(started(name, environments, package))
        except PeerError as error:
            faults[name] = str(error)
            print(f"{name} was not started: {error}", flush=True)
        else:
            servers[name] = pid, PEERS[name].requests(address, size)
    return servers, faults


class Bench:
    """The limit and the servers, measured in turn."""

    def __init__(
        self, limit: Limit, servers: dict[str, tuple[int, dict[str, Request]]], seconds: float, quiet: float
    ) -> None:
        self.limit, self.servers, self.seconds, self.quiet = limit, servers, seconds, quiet

    def choose(self) -> Figures:
        """Find the limit's best setting, and warm every server up."""
        found = self.limit.choose(self.seconds / 2)
        print(f"limit: {', '.join(f'{key} {value:.0f}' for key, value in found.items())} img/s", flush=True)
        for _, requests in self.servers.values():
            for request in requests.values():
                self.load(request, 4)
        return {"images/s by setting": found, "best": self.limit.best}

    def idle(self) -> dict[str, float]:
        """Cores that each server takes with nothing to do. It slows the others, so it is said where it is much."""
        before = {name: cpu_seconds(tree(process)) for name, (process, _) in self.servers.items()}
        time.sleep(self.seconds)
        cores = {
            name: (cpu_seconds(tree(process)) - before[name]) / self.seconds
            for name, (process, _) in self.servers.items()
        }
        for name in cores:
            if cores[name] > 0.05:
                print(f"{name} takes {cores[name]:.2f} cores with nothing to do", flush=True)
        return cores

    def cell(self, kind: str, connections: int, rounds: int) -> dict[str, Figures]:
        """Medians of each server over the rounds that were quiet."""
        found: dict[str, list[Figures]] = {name: [] for name in self.servers}
        names = list(self.servers)
        for index in range(rounds):
            limit = self.undisturbed(lambda: self.limit.measure(self.limit.best, self.seconds))
            lone = self.undisturbed(lambda: self.limit.measure(LONE, self.seconds / 3))
            if limit is None or lone is None:
                continue
            for name in names[index % len(names) :] + names[: index % len(names)]:
                request = self.servers[name][1][kind]
                if measured := self.undisturbed(lambda request=request: self.load(request, connections)):
                    found[name].append(measured | relative(measured, limit, lone))
        rows = {name: summary(rows) for name, rows in found.items()}
        print_rows(f"{kind}, {connections} connections", rows)
        return rows

    def load(self, request: Request, connections: int) -> Figures:
        """Figures of a server; none where it closes connections or answers nothing but faults."""
        try:
            found = measure(request, connections, self.seconds)
        except (OSError, EOFError, RuntimeError) as error:
            print(f"{request.address}: {error!r}", flush=True)
            return {}
        return {"images/s": found.per_second, "p50 ms": found.p50_ms, "p99 ms": found.p99_ms, "failed": found.failed}

    def undisturbed(self, call: Any) -> Figures | None:
        """What the call found while other processes took little, or nothing where they took more twice."""
        for _ in range(2):
            with Others() as others:
                found: Figures = call()
            if others.cores <= self.quiet:
                return found
        return None

    def memory(self) -> dict[str, Figures]:
        """Resident megabytes of each server's processes, and relative to bare ONNX Runtime's with one session."""
        found = {name: resident_bytes(process) for name, (process, _) in self.servers.items()}
        return {name: {"MB": size / 1e6, "/ limit": size / self.limit.memory} for name, size in found.items()}


def relative(measured: Figures, limit: Figures, lone: Figures) -> Figures:
    """Images a second relative to the limit's, latencies to those of one image in the limit's process."""
    return {
        "images/s / limit": measured["images/s"] / limit["images/s"],
        "p50 / limit": measured["p50 ms"] / lone["p50 ms"],
        "p99 / limit": measured["p99 ms"] / lone["p99 ms"],
    }


def summary(rows: list[Figures]) -> Figures:
    """Medians over rounds, and all answers with another status than 200."""
    if not rows:
        return {"rounds": 0}
    failed = sum((Counter(row["failed"]) for row in rows), Counter[int]())
    medians = {key: median(row[key] for row in rows) for key in rows[0] if key != "failed"}
    return medians | {"failed": dict(failed), "rounds": len(rows)}


def print_rows(title: str, rows: dict[str, Figures]) -> None:
    print(f"\n{title:<32}{'img/s':>9}{'/ limit':>9}{'p50 ms':>9}{'/ limit':>9}{'p99 ms':>9}{'/ limit':>9}  rounds")
    for name, row in rows.items():
        if not row["rounds"]:
            print(f"{name:<32}  no quiet round, or no answer")
            continue
        keys = ("images/s", "images/s / limit", "p50 ms", "p50 / limit", "p99 ms", "p99 / limit")
        numbers = "".join(f"{row[key]:>9.3g}" if "/ limit" in key else f"{row[key]:>9.1f}" for key in keys)
        print(f"{name:<32}{numbers}{row['rounds']:>8}  {row['failed'] or ''}", flush=True)


def show(name: str, figures: Figures) -> None:
    """Images a second relative to the limit, by server and cell, and memory."""
    print(f"\n{name}: images/s relative to the limit, at each number of connections")
    for server, memory in figures["memory"].items():
        ratios = (rows[server].get("images/s / limit") for rows in figures["cells"].values())
        line = "".join(f"{'-' if ratio is None else format(ratio, '.2f'):>6}" for ratio in ratios)
        print(f"{server:<12}{line}  {memory['MB']:>6.0f} MB, {memory['/ limit']:.1f} times the limit's")


if __name__ == "__main__":
    typer.run(main)
