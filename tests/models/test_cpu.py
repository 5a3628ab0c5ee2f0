"""CPUs that this process may use."""

from pathlib import Path

import pytest

from models.cpu import usable_cpus


def test_cpus_from_affinity_and_cgroup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert usable_cpus(tmp_path, tmp_path / "none") == 8
    for content, cpus in (("150000 100000", 2), ("max 100000", 8), ("50000 100000", 1), ("1600000 100000", 8)):
        (tmp_path / "cpu.max").write_text(content)
        assert usable_cpus(tmp_path, tmp_path / "none") == cpus, content
    (tmp_path / "cpu.max").unlink()
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000")
    for quota, cpus in (("300000", 3), ("-1", 8)):
        (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(quota)
        assert usable_cpus(tmp_path, tmp_path / "none") == cpus, quota


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("_of", ".")).write_text(content)


@pytest.mark.parametrize(
    ("own", "slice_", "root", "cpus"),
    [
        ("200000 100000", "max 100000", None, 2),  # systemd's CPUQuota=200%
        ("max 100000", "300000 100000", None, 3),  # the quota of a group around it
        ("400000 100000", "300000 100000", "250000 100000", 3),  # the smallest counts, rounded up
        ("max 100000", "max 100000", None, 8),
    ],
)
def test_quotas_of_nested_groups_of_version_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: str, slice_: str, root: str | None, cpus: int
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)), raising=False)
    write(tmp_path / "system.slice" / "retina.service", cpu_ofmax=own)
    write(tmp_path / "system.slice", cpu_ofmax=slice_)
    write(tmp_path / "other.slice", cpu_ofmax="100000 100000")
    if root is not None:
        write(tmp_path, cpu_ofmax=root)
    membership = tmp_path / "membership"
    membership.write_text("0::/system.slice/retina.service\n")
    assert usable_cpus(tmp_path, membership) == cpus
    membership.write_text("0::/../../system.slice\n")  # as seen from another namespace
    assert usable_cpus(tmp_path, membership) <= 8


@pytest.mark.parametrize("mount", ["cpu", "cpu,cpuacct"])
def test_quotas_of_nested_groups_of_version_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mount: str) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)), raising=False)
    folder = tmp_path / mount
    write(folder, cpu_ofcfs_quota_us="-1", cpu_ofcfs_period_us="100000")
    write(folder / "docker", cpu_ofcfs_quota_us="600000", cpu_ofcfs_period_us="100000")
    write(folder / "docker" / "x", cpu_ofcfs_quota_us="150000", cpu_ofcfs_period_us="50000")
    membership = tmp_path / "membership"
    membership.write_text("12:memory:/docker/x\n4:cpu,cpuacct:/docker/x\n1:name=systemd:/docker/x\n0::/\n")
    assert usable_cpus(tmp_path, membership) == 3
    membership.write_text("4:cpu,cpuacct:/docker\n")
    assert usable_cpus(tmp_path, membership) == 6
