"""The chart as Helm's own library renders it, with the values in ``values/``."""

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import helm_python as helm
import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "chart"
VALUES = {path.stem: path for path in sorted(Path(__file__).with_name("values").glob("*.yaml"))}
RELEASE, NAMESPACE = "demo", "eyes"
Object = dict[str, Any]


def values_of(name: str) -> Object:
    values: Object = yaml.safe_load(VALUES[name].read_text())
    return values


def render(values: Mapping[str, Any], chart: Path = CHART) -> list[Object]:
    """Return every object of a release, those of its hooks too.

    Raises:
        helm.HelmError: if the schema or a template refuses the values.
    """
    with helm.Chart.load(chart) as loaded:
        files = loaded.render(dict(values), name=RELEASE, namespace=NAMESPACE)
    texts = [text for path, text in sorted(files.items()) if path.endswith(".yaml")]
    return [found for text in texts for found in yaml.safe_load_all(text) if found]


@cache
def rendered(name: str) -> list[Object]:
    """The objects with one of the files in ``values/``. Don't change them."""
    return render(values_of(name))


def of_kind(objects: list[Object], kind: str) -> Iterator[Object]:
    return (found for found in objects if found["kind"] == kind)


def one(objects: list[Object], kind: str) -> Object:
    (found,) = of_kind(objects, kind)
    return found


def pod(objects: list[Object]) -> Object:
    """What the Deployment makes: metadata and spec."""
    template: Object = one(objects, "Deployment")["spec"]["template"]
    return template


def container(objects: list[Object]) -> Object:
    (found,) = pod(objects)["spec"]["containers"]
    return dict(found)


def pods(objects: list[Object]) -> list[Object]:
    """The templates of all pods: the service's, the job's and the test's."""
    jobs = [job["spec"]["template"] for job in of_kind(objects, "Job")]
    return [pod(objects), *jobs, *of_kind(objects, "Pod")]
