"""Print how another caller fares during each attack: ``python -m tests.attacks [--seconds 20] [NAME ...]``.

The service, both callers and the attack run on this machine, on 127.0.0.1. It takes about 30 s for each attack.
"""

import argparse
import tempfile
import time
from pathlib import Path

from tests.attacks.hostile import ATTACKS
from tests.attacks.measuring import Measured, measure, serving

SETTLE_S = 3.0


def row(name: str, found: Measured) -> str:
    statuses = ", ".join(f"{count} x {status}" for status, count in sorted(found.statuses.items()))
    return f"| {name} | {statuses} | {found.p50:.0f} | {found.p99:.0f} | {found.memory:.0f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("names", nargs="*", choices=[*ATTACKS, []])
    asked = parser.parse_args()
    print("| attack | answers to another caller | p50 ms | p99 ms | peak MB |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as service:
        measure(service, 1)
        print(row("none", measure(service, asked.seconds)), flush=True)
        for name in asked.names or ATTACKS:
            print(row(name.replace("_", " "), measure(service, asked.seconds, name)), flush=True)
            time.sleep(SETTLE_S)


if __name__ == "__main__":
    main()
