"""Where workers run: as many as there are devices or CPUs, each with a part of its own."""

import os
from pathlib import Path

import pytest

from service.settings import Settings, SettingsError
from service.workers import places as module
from service.workers.places import Place, places


def cpus(monkeypatch: pytest.MonkeyPatch, mask: set[int], usable: int | None = None) -> None:
    """Let this machine have these CPUs, and a quota of so many of them."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: mask)
    monkeypatch.setattr(module, "usable_cpus", lambda: len(mask) if usable is None else usable)


def of(**settings: object) -> list[Place]:
    return places(Settings.model_validate(settings), {})


def test_one_worker_is_the_default_and_keeps_all(monkeypatch: pytest.MonkeyPatch) -> None:
    cpus(monkeypatch, set(range(16)))
    assert of() == [Place(16, None, None)]


def test_parts_are_equal_and_disjoint_and_all(monkeypatch: pytest.MonkeyPatch) -> None:
    mask = {1, 2, 3, 5, 8, 13, 21}
    cpus(monkeypatch, mask)
    found = of(workers=3)
    parts = [place.cpus or frozenset() for place in found]
    assert sorted(cpu for part in parts for cpu in part) == sorted(mask)
    assert [len(part) for part in parts] == [2, 2, 3]
    assert [place.threads for place in found] == [2, 2, 3]


@pytest.mark.parametrize(("number", "count"), [(1, 1), (7, 1), (8, 2), (16, 4), (64, 16)])
def test_auto_is_a_worker_for_four_cpus(monkeypatch: pytest.MonkeyPatch, number: int, count: int) -> None:
    cpus(monkeypatch, set(range(number)))
    assert len(of(workers="auto")) == count


def test_under_a_quota_nothing_is_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    cpus(monkeypatch, set(range(64)), usable=8)
    assert of(workers=2) == [Place(4, None, None), Place(4, None, None)]


def test_more_workers_than_cpus_are_not_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    cpus(monkeypatch, {0, 1})
    assert of(workers=3) == [Place(1, None, None)] * 3


def test_the_threads_of_the_settings_are_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    cpus(monkeypatch, set(range(16)))
    assert [place.threads for place in of(workers=2, threads=6)] == [3, 3]


def test_devices_are_taken_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    cpus(monkeypatch, set(range(8)))
    assert [place.device for place in of(workers="auto", devices="cuda:0,cuda:1")] == ["0", "1"]
    assert [place.device for place in of(workers=4, devices="cuda:0, cuda:2")] == ["0", "2", "0", "2"]
    with pytest.raises(SettingsError, match=r"RETINA_WORKERS=1 is below the 2 devices"):
        of(workers=1, devices="cuda:0,cuda:1")


def test_a_device_is_numbered_among_those_that_a_program_sees() -> None:
    settings, environment = Settings(devices="cuda:1"), {"CUDA_VISIBLE_DEVICES": "3, GPU-8f2a"}
    assert [place.device for place in places(settings, environment)] == ["GPU-8f2a"]
    with pytest.raises(SettingsError, match=r"cuda:2, but CUDA_VISIBLE_DEVICES=3, GPU-8f2a shows 2"):
        places(Settings(devices="cuda:2"), environment)


def test_all_devices_are_those_of_the_machine_or_of_the_variable(tmp_path: Path) -> None:
    settings = Settings(devices="cuda:all", workers="auto")
    assert [place.device for place in places(settings, {}, tmp_path)] == ["0"]
    for name in ("nvidia3", "nvidia10", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    assert [place.device for place in places(settings, {}, tmp_path)] == ["0", "1"]  # CUDA numbers what it sees
    assert [place.device for place in places(settings, {"CUDA_VISIBLE_DEVICES": "4,6"}, tmp_path)] == ["4", "6"]


def test_a_device_that_is_not_one_is_refused() -> None:
    with pytest.raises(ValueError, match="devices"):
        Settings(devices="gpu0")


def test_a_place_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[frozenset[int]] = []
    monkeypatch.setattr(os, "sched_setaffinity", lambda _, given: taken.append(given))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    Place(1, frozenset({4}), "2").take()
    assert (taken, os.environ["CUDA_VISIBLE_DEVICES"]) == ([frozenset({4})], "2")
    Place(1, None, None).take()
    assert len(taken) == 1
