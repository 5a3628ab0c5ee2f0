"""The files for KServe fit each other, the image and the service."""

from pathlib import PurePosixPath
from typing import Any

import kubernetes_validate
import pytest
import yaml

from service.security.callers import is_required
from service.settings import load_settings
from tests.deploy.rendering import ROOT
from tests.test_deployment import inherited

FOLDER = ROOT / "deploy" / "kserve"
RUNTIME = yaml.safe_load((FOLDER / "runtime.yaml").read_text())
SERVICE = yaml.safe_load((FOLDER / "inferenceservice.yaml").read_text())
MODELS = "/mnt/models"
"""Where KServe puts what ``storageUri`` names."""


def container() -> dict[str, Any]:
    (found,) = RUNTIME["spec"]["containers"]
    return dict(found)


def test_the_service_asks_for_this_runtime() -> None:
    model = SERVICE["spec"]["predictor"]["model"]
    assert model["runtime"] == RUNTIME["metadata"]["name"]
    assert model["protocolVersion"] in RUNTIME["spec"]["protocolVersions"]
    formats = [{key: known[key] for key in ("name", "version")} for known in RUNTIME["spec"]["supportedModelFormats"]]
    assert model["modelFormat"] in formats


def test_traffic_is_split() -> None:
    assert 0 < SERVICE["spec"]["predictor"]["canaryTrafficPercent"] < 100


def test_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in container()["env"]:
        monkeypatch.setenv(variable["name"], variable["value"])
    settings = load_settings()
    assert str(settings.model_repository) == MODELS
    assert is_required(settings)
    mounted = {mount["mountPath"]: mount["name"] for mount in container()["volumeMounts"]}
    assert mounted[str(PurePosixPath(str(settings.keys_file)).parent)] == "keys"
    assert mounted["/tmp"] == "tmp"
    assert [port["containerPort"] for port in container()["ports"]] == [settings.port]
    for probe in ("readinessProbe", "livenessProbe"):
        assert container()[probe]["httpGet"]["port"] == settings.port
    longest = settings.body_timeout_s + settings.request_timeout_s + settings.drain_seconds
    assert SERVICE["spec"]["predictor"]["timeout"] > longest


def test_container_is_locked_down_and_of_the_images_user() -> None:
    context = container()["securityContext"]
    assert context["readOnlyRootFilesystem"] is True
    assert context["allowPrivilegeEscalation"] is False
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert f"USER {context['runAsUser']}:{context['runAsGroup']}" in inherited("cpu")


def test_container_and_volumes_follow_kubernetes() -> None:
    """KServe makes a pod of them."""
    spec = {key: RUNTIME["spec"][key] for key in ("containers", "volumes")}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "retina"}, "spec": spec}
    assert kubernetes_validate.validate(pod, "1.37", strict=True) == "1.37"
