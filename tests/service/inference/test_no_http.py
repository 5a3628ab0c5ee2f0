"""Inference knows nothing of HTTP: neither its own files nor what they import of the service."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
HTTP = ("fastapi", "starlette", "uvicorn", "service.http", "service.routes", "service.protocol")


def named(path: Path) -> set[str]:
    """Every module that a file names in an import, wherever it stands; of ``from a import b`` also ``a.b``."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, path
            names.add(str(node.module))
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def file_of(module: str) -> Path | None:
    """Where a module of the service lies; None for others, and for names that are none."""
    path = ROOT.joinpath(*module.split("."))
    found = [file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()]
    return found[0] if found and module.partition(".")[0] == "service" else None


def test_neither_inference_nor_what_it_imports_names_http() -> None:
    waiting = sorted((ROOT / "service" / "inference").rglob("*.py"))
    seen: set[Path] = set()
    assert len(waiting) > 5
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        names = named(path)
        found = {name for name in names if any(f"{name}.".startswith(f"{part}.") for part in HTTP)}
        assert not found, path
        waiting.extend(file for name in names if (file := file_of(name)) is not None)
    assert ROOT / "service" / "observing" / "metrics.py" in seen
