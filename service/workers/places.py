"""Which device and which CPUs each worker has."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from models.cpu import usable_cpus
from service.settings import Settings, SettingsError

CPUS_PER_WORKER = 4
"""Of one worker where their number is ``auto``, on the CPU (docs/scale.md)."""
VISIBLE = "CUDA_VISIBLE_DEVICES"
DEVICE_FILES = Path("/dev")


@dataclass(frozen=True)
class Place:
    """What one worker runs on."""

    threads: int
    """CPU threads for inference."""
    cpus: frozenset[int] | None
    """The CPUs that it may use. None: those of the supervisor, because a quota limits them and not a mask."""
    device: str | None
    """The CUDA device as the driver numbers or names it; None on the CPU."""

    def take(self) -> None:
        """Let this process use these CPUs and this device alone. Call it before threads begin and CUDA is used."""
        if self.cpus:
            os.sched_setaffinity(0, self.cpus)
        if self.device is not None:
            os.environ[VISIBLE] = self.device


def places(
    settings: Settings, environment: Mapping[str, str] = os.environ, device_files: Path = DEVICE_FILES
) -> list[Place]:
    """The place of each worker: devices in turn, and equal parts of the CPUs.

    A device is numbered as a program sees it: among those of CUDA_VISIBLE_DEVICES, if that is set.

    Raises:
        SettingsError: if there are fewer workers than devices, or if there is no such device.
    """
    devices = devices_of(settings.devices, environment, device_files)
    usable = usable_cpus()
    total = settings.threads or usable
    automatic = len(devices) or max(1, total // CPUS_PER_WORKER)
    count = automatic if settings.workers == "auto" else settings.workers
    if count < len(devices):
        raise SettingsError(
            f"RETINA_WORKERS={count} is below the {len(devices)} devices of RETINA_DEVICES, and a worker runs on one: "
            "raise the first, or set it to auto"
        )
    cpus = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    # Under a quota the CPUs of the mask are shared with other containers, and pinned threads would meet theirs. With
    # fewer CPUs than workers each part would be empty. A worker alone needs no part.
    pinned = len(cpus) == usable and usable >= count > 1
    return [
        Place(
            threads=max(1, total * (index + 1) // count - total * index // count),
            cpus=frozenset(cpus[usable * index // count : usable * (index + 1) // count]) if pinned else None,
            device=devices[index % len(devices)] if devices else None,
        )
        for index in range(count)
    ]


def devices_of(names: str, environment: Mapping[str, str], device_files: Path) -> list[str]:
    """The CUDA devices of the setting, as the driver knows them; none for ``cpu``."""
    if names == "cpu":
        return []
    offered = [name.strip() for name in environment.get(VISIBLE, "").split(",") if name.strip()]
    if names == "cuda:all":
        # Under WSL 2 a GPU has no file of its own. Then it is the first one; if there is none, the provider says so.
        files = [path for path in device_files.glob("nvidia*") if re.fullmatch(r"nvidia\d+", path.name)]
        return offered or [str(number) for number in range(len(files) or 1)]
    numbers = [name.strip().removeprefix("cuda:") for name in names.split(",")]
    for number in numbers:
        if offered and int(number) >= len(offered):
            raise SettingsError(
                f"RETINA_DEVICES has cuda:{number}, but {VISIBLE}={environment[VISIBLE]} shows {len(offered)}"
            )
    return [offered[int(number)] if offered else number for number in numbers]
