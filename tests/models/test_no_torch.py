"""The service's part of this room loads in a process without torch."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "monai", "onnx", "safetensors", "ignite", "sklearn", "scipy")


@pytest.mark.parametrize(
    "module",
    [
        "models.architecture",
        "models.card",
        "models.package",
        "models.preprocessing",
        "models.preprocessing.dicom",
        "service.report.document",
    ],
)
def test_imports_neither_torch_nor_monai(module: str) -> None:
    script = f"import sys, {module}; print(*sorted({{n.partition('.')[0] for n in sys.modules}} & set({HEAVY})))"
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == []
