"""What the project's files import, read from their text."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def imported(path: Path) -> set[str]:
    """Every module that a file names in an import, wherever it stands."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, path
            names.add(str(node.module))
    return names


def named(path: Path) -> set[str]:
    """The same, and of ``from a import b`` also ``a.b``, which may be a module."""
    names = imported(path)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def file_of(module: str) -> Path | None:
    """Where one of the project's modules lies; None for others, and for names that are none."""
    path = ROOT.joinpath(*module.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


def files_named(path: Path) -> set[Path]:
    """The project's files that a file imports."""
    return {file for name in named(path) if (file := file_of(name)) is not None}
