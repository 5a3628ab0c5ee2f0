"""The files for KubeRay fit the service: its options, its arguments, its settings, and the locked Ray."""

import shlex
from typing import Any

import pytest
import yaml

from service import __main__ as service
from service.scoring import command
from service.scoring.workers import Workers
from service.security.callers import is_required
from service.settings import load_settings
from tests.deploy.rendering import ROOT
from tests.test_deployment import pins

FOLDER = ROOT / "deploy" / "ray"
JOB, SERVICE = (yaml.safe_load((FOLDER / name).read_text())["spec"] for name in ("rayjob.yaml", "rayservice.yaml"))
RAY = pins("dev.txt")["ray"]
CLUSTERS = [JOB["rayClusterSpec"], SERVICE["rayClusterConfig"]]


def pods(cluster: dict[str, Any]) -> list[dict[str, Any]]:
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    return [group["template"]["spec"] for group in groups]


def test_ray_is_the_one_that_was_tested() -> None:
    assert {cluster["rayVersion"] for cluster in CLUSTERS} == {RAY}
    assert f"ARG BASE=rayproject/ray:{RAY}-py311-" in (FOLDER / "Dockerfile").read_text()


def test_the_command_of_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}
    monkeypatch.setattr(command, "score_source", lambda *paths, **options: asked.update(options, paths=paths) or 0)
    words = shlex.split(JOB["entrypoint"])
    assert words[:4] == ["python", "-m", "service", "score"]
    with pytest.raises(SystemExit) as ended:
        service.app(words[3:], standalone_mode=False)
    assert ended.value.code == 0
    assert asked["workers"] == Workers(1, 16, 1, 0)
    [head, worker] = pods(JOB["rayClusterSpec"])
    [mount] = head["containers"][0]["volumeMounts"]
    assert asked["paths"][1].startswith(mount["mountPath"] + "/")
    [group] = JOB["rayClusterSpec"]["workerGroupSpecs"]
    cpus = int(worker["containers"][0]["resources"]["limits"]["cpu"])
    assert group["maxReplicas"] * cpus == asked["workers"].most, "no worker waits for a pod that never comes"


def test_the_application_of_the_service() -> None:
    pytest.importorskip("ray")
    from service.ray import LISTENS, Arguments

    [application] = yaml.safe_load(SERVICE["serveConfigV2"])["applications"]
    assert application["import_path"] == "service.ray:build"
    arguments = Arguments.model_validate(application["args"])
    settings = load_settings(**arguments.settings).model_copy(update=LISTENS)
    assert settings.store == "s3://models"
    assert is_required(settings)
    assert settings.keys_file
    for pod in pods(SERVICE["rayClusterConfig"]):
        mounted = {mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
        assert str(settings.keys_file.parent) in mounted


@pytest.mark.parametrize("pod", [pod for cluster in CLUSTERS for pod in pods(cluster)])
def test_pods(pod: dict[str, Any]) -> None:
    assert pod["enableServiceLinks"] is False
    [container] = pod["containers"]
    assert {"name": "RAY_USAGE_STATS_ENABLED", "value": "0"} in container["env"]
    assert {mount["name"] for mount in container.get("volumeMounts", [])} <= {
        volume["name"] for volume in pod.get("volumes", [])
    }


def test_nothing_runs_on_the_heads() -> None:
    assert [cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] for cluster in CLUSTERS] == ["0", "0"]
