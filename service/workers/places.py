"""Which device and which CPUs each worker has."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from models.cpu import usable_cpus
from service.settings import Settings, SettingsError

CPUS_PER_WORKER = 4
"""Of one worker where their number is ``auto``, on the CPU."""
VISIBLE = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True)
class Place:
    """What one worker runs on."""

    threads: int
    """CPU threads for inference, and as many for decoding."""
    cpus: frozenset[int] | None
    """The CPUs that it may use. None: as the supervisor, because a quota limits them and not a mask."""
    device: str | None
    """The CUDA device as the driver numbers or names it; None on the CPU."""


def count_of(settings: Settings) -> int:
    """How many workers the settings ask for.

    Raises:
        SettingsError: if fewer workers than devices are asked for.
    """
    devices = devices_of(settings)
    if settings.workers == "auto":
        return len(devices) or max(1, (settings.threads or usable_cpus()) // CPUS_PER_WORKER)
    if settings.workers < len(devices):
        raise SettingsError(
            f"RETINA_WORKERS={settings.workers} is below the {len(devices)} devices of RETINA_DEVICES, and a worker "
            "runs on one: raise the first, or set it to auto"
        )
    return settings.workers


def devices_of(settings: Settings) -> list[str]:
    """The numbers of the CUDA devices in the settings; none on the CPU."""
    names = [name.strip() for name in settings.devices.split(",")]
    return [name.removeprefix("cuda:") for name in names if name.startswith("cuda:")]


def places(settings: Settings, environment: Mapping[str, str] = os.environ) -> list[Place]:
    """The place of each worker: devices in turn, and equal parts of the CPUs.

    A device is numbered as a program sees it: among those of CUDA_VISIBLE_DEVICES, if that is set.

    Raises:
        SettingsError: as of :func:`count_of`, or if a device is not among those of CUDA_VISIBLE_DEVICES.
    """
    count, devices = count_of(settings), [visible(device, environment) for device in devices_of(settings)]
    usable = usable_cpus()
    total = settings.threads or usable
    cpus = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    # Under a quota the CPUs of the mask are shared with other containers, and pinned threads would meet theirs. With
    # fewer CPUs than workers each part would be empty.
    pinned = len(cpus) == usable and usable >= count
    return [
        Place(
            threads=max(1, (total * (index + 1)) // count - (total * index) // count),
            cpus=frozenset(cpus[usable * index // count : usable * (index + 1) // count]) if pinned else None,
            device=devices[index % len(devices)] if devices else None,
        )
        for index in range(count)
    ]


def visible(device: str, environment: Mapping[str, str]) -> str:
    """A device as the driver knows it."""
    offered = environment.get(VISIBLE)
    if not offered:
        return device
    names = offered.split(",")
    if int(device) >= len(names):
        raise SettingsError(f"RETINA_DEVICES has cuda:{device}, but {VISIBLE}={offered} shows {len(names)}")
    return names[int(device)].strip()
