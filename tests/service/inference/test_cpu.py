"""CPUs that this process may use."""

from pathlib import Path

import pytest

from service.inference.cpu import usable_cpus


def test_cpus_from_affinity_and_cgroup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert usable_cpus(tmp_path) == 8
    for content, cpus in (("150000 100000", 2), ("max 100000", 8), ("50000 100000", 1), ("1600000 100000", 8)):
        (tmp_path / "cpu.max").write_text(content)
        assert usable_cpus(tmp_path) == cpus, content
    (tmp_path / "cpu.max").unlink()
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000")
    for quota, cpus in (("300000", 3), ("-1", 8)):
        (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(quota)
        assert usable_cpus(tmp_path) == cpus, quota
