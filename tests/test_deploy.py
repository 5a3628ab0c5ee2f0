"""The dashboard and the alerts ask for series that the service really has, with labels that they really have."""

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from fastapi.testclient import TestClient
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

from service.app import create_app
from service.settings import Settings

DEPLOY = Path(__file__).parent.parent / "deploy"
SELECTOR = re.compile(r"\b((?:retina|process)_\w+)(?:\{([^}]*)\})?")
OF_PROMETHEUS = {"instance", "job"}


@pytest.fixture(scope="module")
def exported(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Labels of each series of a service that keeps records and has answered, refused and failed to find."""
    stream = io.BytesIO()
    Image.new("RGB", (32, 32)).save(stream, "PNG")
    url = f"sqlite:///{tmp_path_factory.mktemp('records')}/records.db"
    settings = Settings(model_repository=repository, provider="cpu", threads=1, records="on", records_url=url)
    with TestClient(create_app(settings)) as client:
        assert client.post("/v1/models/colour/predict", content=stream.getvalue()).status_code == 200
        text = client.get("/metrics").text
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        found[family.name] = set()
        found[family.name + "_total"] = set()
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found | {"retina_worker_restarts_total": set()}  # of several workers: tests/service/workers/test_metrics.py


def alerts() -> dict[str, str]:
    (group,) = yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"]
    return {rule["alert"]: rule["expr"] for rule in group["rules"]}


def panels() -> dict[str, str]:
    board = json.loads((DEPLOY / "grafana.json").read_text())
    variables = {v["name"]: v["definition"] for v in board["templating"]["list"] if v["type"] == "query"}
    targets = {f"{p['title']} {t['refId']}": t["expr"] for p in board["panels"] for t in p["targets"]}
    return variables | targets


@pytest.mark.parametrize(("name", "query"), [*alerts().items(), *panels().items()])
def test_queries_find_their_series(name: str, query: str, exported: dict[str, set[str]]) -> None:
    selectors = list(SELECTOR.finditer(query))
    assert selectors or "up{" in query
    for selector in selectors:
        assert selector[1] in exported, f"{name} asks for {selector[1]}"
        for label in re.findall(r"(\w+)\s*[=!]", selector[2] or ""):
            known = exported[selector[1]] | OF_PROMETHEUS
            assert label in known or not exported[selector[1]], f"{name}: {selector[1]} has no label {label}"
    assert query.count("(") == query.count(")")


def test_every_series_of_a_stage_is_on_the_dashboard(exported: dict[str, set[str]]) -> None:
    shown = " ".join(panels().values())
    assert {name for name in exported if name.endswith("_duration_seconds_bucket")} - {
        name for name in exported if name in shown
    } == {"retina_records_commit_duration_seconds_bucket"}


def test_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for place in (panel["gridPos"] for panel in json.loads((DEPLOY / "grafana.json").read_text())["panels"]):
        cells = set(cells_of(place))
        assert not cells & taken
        assert place["x"] + place["w"] <= 24
        taken |= cells


def cells_of(place: dict[str, int]) -> Iterator[tuple[int, int]]:
    for x in range(place["x"], place["x"] + place["w"]):
        for y in range(place["y"], place["y"] + place["h"]):
            yield x, y


def test_prometheus_loads_the_alerts() -> None:
    config = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())
    assert [(DEPLOY / name).exists() for name in config["rule_files"]] == [True]
    assert config["scrape_configs"][0]["job_name"] == "retina-srm"  # as RetinaDown calls it
