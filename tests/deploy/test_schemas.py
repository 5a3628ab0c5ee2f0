"""What the chart renders, and the files for KServe and KubeRay, follow the schemas of Kubernetes and of their own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import helm_python as helm
import kubernetes_validate
import pytest
import yaml

from service.settings import Settings
from tests.deploy.crds import validators
from tests.deploy.rendering import CHART, ROOT, VALUES, container, rendered, values_of

OLDEST, NEWEST = "1.31", "1.37"
CUSTOM = ("monitoring.coreos.com/", "serving.kserve.io/", "ray.io/", "kubeflow.org/")
DEFINITIONS = os.environ.get("CRD_DEFINITIONS")
"""A folder with the definitions of the custom resources, which their projects publish."""
UNTEMPLATED = [
    *sorted((ROOT / "deploy").rglob("*.yaml")),
    *(ROOT / "deploy").glob("*.yml"),
    *sorted(VALUES.values()),
]


@pytest.mark.parametrize("name", VALUES)
def test_helm_lints(name: str) -> None:
    report = helm.lint(CHART, values_of(name), strict=True)
    assert report["errors"] == []
    assert [message for message in report["messages"] if message["severity"] > 1] == []


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("name", VALUES)
def test_objects_follow_kubernetes(name: str, version: str) -> None:
    for found in rendered(name):
        if not found["apiVersion"].startswith(CUSTOM):
            assert kubernetes_validate.validate(found, version, strict=True) == version


def test_the_oldest_version_is_what_the_chart_asks_for() -> None:
    assert yaml.safe_load((CHART / "Chart.yaml").read_text())["kubeVersion"] == f">={OLDEST}.0-0"


@pytest.mark.skipif(
    DEFINITIONS is None, reason="CRD_DEFINITIONS names no folder with the custom resources' definitions"
)
def test_custom_resources_follow_their_definitions() -> None:
    schemas = dict(validators(Path(str(DEFINITIONS))))
    plain = [
        path for folder in ("kserve", "ray", "kubeflow") for path in sorted((ROOT / "deploy" / folder).glob("*.yaml"))
    ]
    objects = [found for name in VALUES for found in rendered(name)]
    objects += [yaml.safe_load(path.read_text()) for path in plain]
    custom = [found for found in objects if found["apiVersion"].startswith(CUSTOM)]
    kinds = {found["kind"] for found in custom}
    assert kinds == {
        "ServiceMonitor",
        "PrometheusRule",
        "ServingRuntime",
        "InferenceService",
        "RayJob",
        "RayService",
        "PyTorchJob",
    }
    for found in custom:
        schemas[found["apiVersion"], found["kind"]].validate(found)


def test_plain_yaml_is_clean() -> None:
    files = [path for path in UNTEMPLATED if "templates" not in path.parts]
    command = [sys.executable, "-m", "yamllint", "--strict", "--config-file", str(ROOT / "deploy" / "yamllint.yml")]
    run = subprocess.run([*command, *map(str, files)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def test_settings_are_those_of_the_service() -> None:
    """Each is in the schema, or the chart sets it from another value."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    offered = set(schema["definitions"]["settings"]["properties"])
    chart = {variable["name"] for name in VALUES for variable in container(rendered(name))["env"]}
    chart -= {setting for name in VALUES for setting in values_of(name).get("settings", {})}
    known = {f"RETINA_{field.upper()}" for field in Settings.model_fields}
    assert offered == known - chart
    assert chart - {"OTEL_EXPORTER_OTLP_ENDPOINT"} <= known


def test_values_and_schema_name_the_same() -> None:
    def names(values: object, schema: dict, path: str = "") -> None:
        reference = schema.get("$ref", "").removeprefix("#/definitions/")
        schema = definitions.get(reference, schema)
        if isinstance(values, dict) and schema.get("properties") and reference != "settings":
            assert values.keys() == schema["properties"].keys() - ({"global"} if not path else set()), path
            for name, value in values.items():
                names(value, schema["properties"][name], f"{path}.{name}")

    whole = json.loads((CHART / "values.schema.json").read_text())
    definitions = whole["definitions"]
    names({**yaml.safe_load((CHART / "values.yaml").read_text()), "resources": None, "strategy": None}, whole)


def test_the_readme_has_every_value() -> None:
    readme = (CHART / "README.md").read_text()
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    missing = [
        path
        for name, value in values.items()
        for path in ([f"{name}.{inner}" for inner in value] if isinstance(value, dict) and value else [name])
        if f"`{path}`" not in readme and f"`{path}." not in readme
    ]
    assert missing == []
