"""What to ask a cluster for."""

import re
from typing import NamedTuple

from service.scoring.errors import ScoringError


class Workers(NamedTuple):
    """Processes of a Ray cluster, each with a model of its own."""

    least: int = 1
    most: int | None = None
    """None: as many as there is room for, also on machines that an autoscaler adds."""
    cpus: float = 1
    """Of each."""
    gpus: float = 0


def workers_of(engine: str, count: str | None, cpus: float | None, gpus: float | None) -> Workers | None:
    """The workers that the options of the command ask for; None where this process does the work.

    Raises:
        ScoringError: if the options say nothing that can be asked for.
    """
    if engine != "ray":
        if (count, cpus, gpus) != (None, None, None):
            raise ScoringError("--workers, --worker-cpus and --worker-gpus need --engine ray")
        return None
    found = re.fullmatch(r"([1-9]\d*)(?:-([1-9]\d*))?", count or "1")
    least, most = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
    if most < least:
        raise ScoringError(f"--workers {count} is neither a number, such as 4, nor a range, such as 1-16")
    return Workers(least, most if count else None, 1 if cpus is None else cpus, gpus or 0)
