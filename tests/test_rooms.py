"""The rooms have one direction, training -> models <- service, without circles; files and folders stay small."""

from collections import Counter
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.imports import ROOT, files_named, imported, named

FORBIDDEN = {
    "models": {"training", "service", "monai", "ignite"},
    "training": {"service"},
    "service": {"training", "torch", "monai", "ignite", "onnx", "sklearn"},
}
LONGEST_FILE, FULLEST_FOLDER = 300, 16
TORCH_FREE = {
    "card.py",
    "cpu.py",
    "scope.py",
    "architecture.py",
    "wording.py",
    "package.py",
    "preprocessing",
    "__init__.py",
}
TESTS_WITHOUT_TORCH = [  # what `make test-serve` runs
    "conftest.py",
    "service",
    "models/conftest.py",
    "models/preprocessing",
    "models/test_card.py",
    "models/test_no_torch.py",
    "models/test_package.py",
    "models/test_scope.py",
]


def files_in(*places: Path) -> list[Path]:
    return sorted(file for place in places for file in (place.rglob("*.py") if place.is_dir() else [place]))


ROOMS = files_in(*(ROOT / room for room in FORBIDDEN))


def test_no_file_imports_itself_by_way_of_others() -> None:
    """Not even late, or for its types alone."""
    imports = {path: files_named(path) - {path} for path in ROOMS}
    order = list(TopologicalSorter(imports).static_order())  # CycleError names the circle
    assert order.index(ROOT / "service" / "app.py") > order.index(ROOT / "service" / "inference" / "predictor.py")
    assert order.index(ROOT / "training" / "run.py") > order.index(ROOT / "models" / "card.py")


def test_files_and_folders_stay_small() -> None:
    long = {str(path.relative_to(ROOT)) for path in ROOMS if len(path.read_text().splitlines()) > LONGEST_FILE}
    assert long == set()
    crowded = {folder for folder, files in Counter(path.parent for path in ROOMS).items() if files > FULLEST_FOLDER}
    assert crowded == set()


def test_the_services_tests_run_without_torch() -> None:
    """Neither they nor what they import of the tests; a comparison with torch's libraries skips itself instead."""
    waiting, seen = files_in(*(ROOT / "tests" / name for name in TESTS_WITHOUT_TORCH)), set[Path]()
    assert waiting
    while waiting:
        path = waiting.pop()
        if path in seen or 'pytest.importorskip("torch"' in path.read_text():
            continue
        seen.add(path)
        names = named(path)
        assert not {name.partition(".")[0] for name in names} & {"torch", "training", "monai", "ignite"}, path
        assert not any(name.startswith("tests.training") for name in names), path
        waiting += [file for file in files_named(path) if file.is_relative_to(ROOT / "tests")]
    makefile = (ROOT / "Makefile").read_text()
    for name in TESTS_WITHOUT_TORCH:
        assert name.endswith("conftest.py") or f"tests/{name}" in makefile, name


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
            assert not {"torch", "models.resnet", "models.recalibration"} & named(file), file
