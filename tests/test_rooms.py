"""The rooms have one direction: training -> models <- service, and the service is free of torch."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FORBIDDEN = {
    "models": {"training", "service", "monai", "ignite"},
    "training": {"service"},
    "service": {"training", "torch", "monai", "ignite", "onnx", "sklearn"},
}
TORCH_FREE = {"card.py", "architecture.py", "package.py", "preprocessing", "__init__.py"}


def imported(path: Path) -> set[str]:
    """Every module that a file names in an import, wherever it stands."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


@pytest.mark.parametrize("room", FORBIDDEN)
def test_imports_go_one_way(room: str) -> None:
    files = list((ROOT / room).rglob("*.py"))
    assert files
    for path in files:
        roots = {name.partition(".")[0] for name in imported(path)}
        assert not roots & FORBIDDEN[room], path


def test_the_part_of_models_that_the_service_imports_is_torch_free() -> None:
    for path in (ROOT / "service").rglob("*.py"):
        used = {name for name in imported(path) if name.startswith("models.")}
        assert used <= {f"models.{Path(name).stem}" for name in TORCH_FREE}, path
    for name in TORCH_FREE:
        path = ROOT / "models" / name
        for file in path.rglob("*.py") if path.is_dir() else [path]:
            assert not {"torch", "models.resnet", "models.recalibration"} & imported(file), file
