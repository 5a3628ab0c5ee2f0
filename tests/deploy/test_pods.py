"""The pods of the chart: settings that the service accepts, probes that it answers, no right that it does not need."""

import math
import re
from pathlib import Path, PurePosixPath

import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.security.callers import is_required
from service.settings import Settings, load_settings
from tests.deploy.rendering import VALUES, Object, container, pod, pods, rendered, values_of
from tests.test_deployment import inherited

SECRETS = {
    "RETINA_ADMIN_KEY": "the-key",
    "RETINA_RECORDS_URL": "postgresql://retina:password@database.example/retina",
}
AFTER_A_REQUEST = 10
"""Seconds that the supervisor of several workers waits for more than a drain and a request."""


def image_of(name: str) -> str:
    return "gpu" if values_of(name).get("gpu") else "cpu"


def variables(name: str) -> dict[str, str]:
    """The variables of the container: the chart's, on the image's own."""
    image = re.findall(r"(RETINA_\w+)=(\S+)", "\n".join(inherited(image_of(name))))
    given = {each["name"]: each.get("value") or SECRETS[each["name"]] for each in container(rendered(name))["env"]}
    return dict(image) | given


def settings_of(name: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings as the service reads them in the pod."""
    monkeypatch.delenv("RETINA_TRAINING_CACHE", raising=False)
    for variable, value in variables(name).items():
        monkeypatch.setenv(variable, value)
    return load_settings()


def mounts(objects: list[Object]) -> dict[PurePosixPath, Object]:
    """The volume at each path of the container, with ``readOnly`` of its mount."""
    volumes = {volume["name"]: volume for volume in pod(objects)["spec"]["volumes"]}
    used = container(objects)["volumeMounts"]
    assert volumes.keys() == {mount["name"] for mount in used}
    return {PurePosixPath(m["mountPath"]): volumes[m["name"]] | {"readOnly": m.get("readOnly", False)} for m in used}


@pytest.mark.parametrize("name", VALUES)
class TestSettings:
    def test_the_service_accepts_them(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        settings = settings_of(name, monkeypatch)
        for setting, value in values_of(name).get("settings", {}).items():
            read = getattr(settings, setting.removeprefix("RETINA_").lower())
            assert read == value or str(read) == str(value)

    def test_no_variable_is_set_twice(self, name: str) -> None:
        names = [variable["name"] for variable in container(rendered(name))["env"]]
        assert len(names) == len(set(names))

    def test_a_key_is_needed_unless_the_values_say_otherwise(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        assert is_required(settings_of(name, monkeypatch)) is not (name == "open")

    def test_files_are_mounted_where_the_settings_look(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        settings, found = settings_of(name, monkeypatch), mounts(rendered(name))
        for path in (settings.keys_file, settings.tls_certificate, settings.tls_key):
            if path is not None:
                secret = found[PurePosixPath(path).parent]["secret"]
                assert path.name in [item["path"] for item in secret.get("items", [])] or not secret.get("items")
                assert secret["defaultMode"] & 0o022 == 0  # the service refuses a key file that others can write
        given = {source: values_of(name).get("models", {}).get(source) for source in ("claim", "image")}
        assert (PurePosixPath(settings.model_repository) in found) is any(given.values())

    def test_a_store_is_copied_to_where_the_pod_may_write(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        settings, objects = settings_of(name, monkeypatch), rendered(name)
        models = values_of(name).get("models", {})
        assert settings.store == (models.get("address") or None)
        if settings.store:
            assert not mounts(objects)[PurePosixPath("/tmp")]["readOnly"]
            assert settings.model_repository.is_relative_to("/tmp")
        secrets = [each["secretRef"]["name"] for each in container(objects).get("envFrom", [])]
        assert secrets == ([models["credentials"]] if "credentials" in models else [])

    def test_what_is_written_has_a_volume(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        settings = settings_of(name, monkeypatch)
        writable = {path for path, volume in mounts(rendered(name)).items() if not volume["readOnly"]}
        expected = {PurePosixPath("/tmp")}  # decoders' processes, and what libraries keep
        gpus = values_of(name).get("gpu", {}).get("count", 0)
        if settings.workers not in (1, "auto") or (settings.workers == "auto" and gpus > 1):
            expected.add(PurePosixPath("/dev/shm"))
        url = settings.records_url.get_secret_value() if settings.records_url else ""
        if settings.records != "off" and url.startswith("sqlite:///"):
            expected.add(PurePosixPath(url.removeprefix("sqlite:///")).parent)
        assert writable == expected

    def test_the_grace_period_is_longer_than_the_service_needs(
        self, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        settings = settings_of(name, monkeypatch)
        assert settings.drain_seconds > 0
        request = math.ceil(settings.body_timeout_s + settings.request_timeout_s)
        needed = settings.drain_seconds + request * (1 if settings.grpc_port is None else 2) + AFTER_A_REQUEST
        assert needed < pod(rendered(name))["spec"]["terminationGracePeriodSeconds"] < needed + 10


@pytest.mark.parametrize("name", VALUES)
class TestPod:
    def test_every_pod_is_locked_down(self, name: str) -> None:
        for found in pods(rendered(name)):
            spec = found["spec"]
            assert spec["automountServiceAccountToken"] is False
            assert spec["enableServiceLinks"] is False
            assert spec["securityContext"]["runAsNonRoot"] is True
            assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
            assert {spec["securityContext"][key] for key in ("runAsUser", "runAsGroup", "fsGroup")} == {10001}
            assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & spec.keys()
            (only,) = spec["containers"]
            assert only["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "privileged": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert only["resources"]["limits"]["memory"]
            assert not any("hostPath" in volume for volume in spec.get("volumes", []))

    def test_user_is_the_images(self, name: str) -> None:
        (user,) = (line for line in inherited("cpu") if line.startswith("USER "))
        context = pod(rendered(name))["spec"]["securityContext"]
        assert user == f"USER {context['runAsUser']}:{context['runAsGroup']}"

    def test_gpus_and_image(self, name: str) -> None:
        gpu = values_of(name).get("gpu", {"count": 0, "resource": "nvidia.com/gpu"})
        limits = container(rendered(name))["resources"]["limits"]
        assert limits.get(gpu.get("resource", "nvidia.com/gpu"), 0) == gpu["count"]
        (image,) = {found["spec"]["containers"][0]["image"] for found in pods(rendered(name))}
        assert re.split(r"[:@]", image)[1].endswith(image_of(name))

    def test_probes_go_to_the_port_with_its_scheme(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        settings = settings_of(name, monkeypatch)
        found = container(rendered(name))
        ports = {port["name"]: port["containerPort"] for port in found["ports"]}
        expected = {"http": settings.port} | ({"grpc": settings.grpc_port} if settings.grpc_port else {})
        assert ports == expected
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            asked = found[probe]["httpGet"]
            assert asked["port"] == "http"
            assert asked["scheme"] == ("HTTP" if settings.tls_certificate is None else "HTTPS")


def test_the_service_answers_the_probes(repository: Path) -> None:
    found = container(rendered("keys"))
    app = create_app(Settings(model_repository=repository, provider="cpu", threads=1))
    with TestClient(app) as client:
        for probe, status in (("startupProbe", 503), ("readinessProbe", 503), ("livenessProbe", 200)):
            path = found[probe]["httpGet"]["path"]
            assert client.get(path).status_code == 200
            app.state.service.ready = False
            assert client.get(path).status_code == status, probe
            app.state.service.ready = True


def test_a_start_may_take_as_long_as_the_values_say() -> None:
    probe = container(rendered("keys"))["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] == 300


def test_the_job_upgrades_with_the_url_of_the_owner() -> None:
    _, job, _ = pods(rendered("postgresql"))
    (upgrade,) = job["spec"]["containers"]
    assert upgrade["args"] == ["records", "upgrade"]
    assert upgrade["env"] == [
        {"name": "RETINA_RECORDS_URL", "valueFrom": {"secretKeyRef": {"name": "retina-database", "key": "owner"}}}
    ]
