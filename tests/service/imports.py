"""What the files of the service import, read from their text."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


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
    if module.partition(".")[0] != "service":
        return None
    path = ROOT.joinpath(*module.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


def files_named(path: Path) -> set[Path]:
    """The service's files that a file imports."""
    return {file for name in named(path) if (file := file_of(name)) is not None}
