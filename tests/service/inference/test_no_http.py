"""Inference knows nothing of HTTP: neither its own files nor what they import of the service."""

from pathlib import Path

from tests.imports import ROOT, files_named, named

HTTP = ("fastapi", "starlette", "uvicorn", "service.http", "service.routes", "service.protocol")


def test_neither_inference_nor_what_it_imports_names_http() -> None:
    waiting = list((ROOT / "service" / "inference").rglob("*.py"))
    seen: set[Path] = set()
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        assert not {name for name in named(path) if any(f"{name}.".startswith(f"{part}.") for part in HTTP)}, path
        waiting.extend(files_named(path))
    assert ROOT / "service" / "inference" / "predictor.py" in seen
    assert ROOT / "service" / "observing" / "metrics.py" in seen  # so it does look further
