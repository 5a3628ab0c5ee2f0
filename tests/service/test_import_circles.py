"""No file of the service imports itself by way of others, not even late or for its types alone."""

from graphlib import TopologicalSorter

from tests.service.imports import ROOT, files_named


def test_there_are_none() -> None:
    imports = {path: files_named(path) - {path} for path in (ROOT / "service").rglob("*.py")}
    order = list(TopologicalSorter(imports).static_order())  # CycleError names the circle
    assert order.index(ROOT / "service" / "app.py") > order.index(ROOT / "service" / "inference" / "predictor.py")
