"""A short form of the two attacks that were worst; ``python -m tests.attacks`` runs all of them."""

import sys
from pathlib import Path

import pytest

from tests.attacks.measuring import measure, serving

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")


@pytest.mark.parametrize("attack", ["huge_pictures", "runaway_jpeg_ls"])
def test_another_caller_is_answered(attack: str, tmp_path: Path) -> None:
    with serving(tmp_path) as service:
        found = measure(service, 3, attack)
    assert set(found.statuses) == {200}
    assert found.p99 < 2000  # ms; it was 30 s before callers took turns
    assert found.memory < 3000  # MB; the container may have 4 GB
