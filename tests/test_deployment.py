"""The files that install and ship the product: lock files, Dockerfile, docker-compose.yml."""

import json
import os
import re
import subprocess
import sys
import sysconfig
import threading
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from service.security.callers import is_required
from service.settings import SettingsError, load_settings

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DOCKERFILE = (ROOT / "Dockerfile").read_text().replace("\\\n", "")
BASE = re.findall(r"^ARG BASE=(\S+)$", DOCKERFILE, flags=re.MULTILINE)[0]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
LOCK_FILES = ("serve.txt", "serve-gpu.txt", "serve-openvino.txt", "train.txt", "dev.txt", "test-serve.txt")
SERVING_LOCK_FILES = LOCK_FILES[:3]
IMAGE_EXTRAS = ("grpc", "oidc", "otel", "postgres", "s3")

# What onnxruntime-gpu loads; none of the libraries for training on several GPUs.
CUDA_RUNTIME = {
    f"nvidia-{library}"
    for library in ("cublas", "cuda-nvrtc", "cuda-runtime", "cudnn-cu13", "cufft", "curand", "nvjitlink")
}


def pins(lock_file: str) -> dict[str, str]:
    """Return the version of each package in a lock file."""
    text = (ROOT / "requirements" / lock_file).read_text()
    return dict(re.findall(r"^([a-z0-9][a-z0-9-]*)==([^\s;]+)", text, flags=re.MULTILINE))


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def stages() -> dict[str, list[str]]:
    """Return the instructions of each stage of the Dockerfile, ``FROM`` first, by the stage's name."""
    found: dict[str, list[str]] = {}
    current: list[str] = []  # what comes before the first stage is of none
    for line in DOCKERFILE.replace("${BASE}", BASE).splitlines():
        if line.startswith("FROM "):
            found[line.split(" AS ")[1]] = current = []
        if line and not line.startswith("#"):
            current.append(line)
    return found


def lineage(stage: str) -> set[str]:
    """Return a stage and every stage that it is based on or copies from."""
    names = {stage}
    for line in stages()[stage]:
        for source in re.findall(r"^FROM (\S+)|--from=(\S+)", line):
            names |= lineage("".join(source)) if "".join(source) in stages() else set()
    return names


def inherited(stage: str) -> list[str]:
    """Return a stage's instructions after those of the stages that it is based on."""
    lines = stages()[stage]
    base = lines[0].split()[1]
    return (inherited(base) if base in stages() else []) + lines


def last(instruction: str, stage: str) -> str:
    return [line.removeprefix(instruction + " ") for line in inherited(stage) if line.startswith(instruction + " ")][-1]


@contextmanager
def answering(statuses: dict[str, int]) -> Iterator[int]:
    """Serve these paths with these statuses on a free port, which is the context's value."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(statuses.get(self.path, 404))
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class TestLockFiles:
    @pytest.mark.parametrize("lock_file", LOCK_FILES)
    def test_name_no_index(self, lock_file: str) -> None:
        text = (ROOT / "requirements" / lock_file).read_text()
        assert "://" not in text
        assert not re.search(r"^-", text, flags=re.MULTILINE)

    def test_agree(self) -> None:
        versions = defaultdict(set)
        for lock_file in LOCK_FILES:
            for name, version in pins(lock_file).items():
                versions[name].add(version)
        assert {name: found for name, found in versions.items() if len(found) > 1} == {}

    @pytest.mark.parametrize(
        ("lock_file", "extra"),
        [
            ("serve.txt", None),
            *((lock_file, extra) for lock_file in SERVING_LOCK_FILES for extra in IMAGE_EXTRAS),
            ("train.txt", "train"),
            ("dev.txt", "dev"),
            ("dev.txt", "test"),
            ("test-serve.txt", "test"),
            ("serve-gpu.txt", "gpu"),
            ("serve-openvino.txt", "openvino"),
        ],
    )
    def test_hold_the_requirements_of_the_project(self, lock_file: str, extra: str | None) -> None:
        asked = PROJECT["dependencies"] + (PROJECT["optional-dependencies"][extra] if extra else [])
        pinned = pins(lock_file)
        for requirement in map(Requirement, asked):
            replaced = lock_file in SERVING_LOCK_FILES[1:] and requirement.name == "onnxruntime"
            if replaced or requirement.name == PROJECT["name"]:
                continue
            assert pinned[canonical(requirement.name)] in requirement.specifier

    def test_gpus_have_the_runtime_of_cpus(self) -> None:
        """OpenVINO's build is released later, so it may be older."""
        assert pins("serve-gpu.txt")["onnxruntime-gpu"] == pins("serve.txt")["onnxruntime"]

    def test_dev_covers_serving_and_training(self) -> None:
        assert pins("dev.txt").items() >= pins("serve.txt").items() | pins("train.txt").items()

    def test_the_services_tests_have_serving_and_no_torch(self) -> None:
        assert pins("test-serve.txt").items() >= pins("serve.txt").items()
        assert (
            pins("test-serve.txt").keys().isdisjoint({"torch", "torchmetrics", "monai", "scikit-learn", "onnxscript"})
        )

    @pytest.mark.parametrize("lock_file", SERVING_LOCK_FILES)
    def test_serving_has_no_training_package(self, lock_file: str) -> None:
        training = {canonical(Requirement(line).name) for line in PROJECT["optional-dependencies"]["train"]}
        assert pins(lock_file).keys().isdisjoint(training | {"scipy", "torchvision", "triton"})

    def test_cuda_libraries_are_in_the_gpu_file_alone(self) -> None:
        cuda = {
            name: {pin for pin in pins(name) if pin == "triton" or pin.startswith(("nvidia-", "cuda-"))}
            for name in LOCK_FILES
        }
        assert cuda == {name: CUDA_RUNTIME if name == "serve-gpu.txt" else set() for name in LOCK_FILES}

    def test_serving_on_a_gpu_swaps_the_runtime(self) -> None:
        cpu, gpu = pins("serve.txt").keys(), pins("serve-gpu.txt").keys()
        assert cpu - gpu == {"onnxruntime"}
        assert gpu - cpu == {"onnxruntime-gpu"} | CUDA_RUNTIME

    def test_serving_with_openvino_swaps_the_runtime(self) -> None:
        cpu, openvino = pins("serve.txt").keys(), pins("serve-openvino.txt").keys()
        assert cpu - openvino == {"onnxruntime"}
        assert openvino - cpu == {"onnxruntime-openvino", "sympy", "mpmath"}

    @pytest.mark.parametrize("lock_file", SERVING_LOCK_FILES)
    def test_serving_pins_have_hashes(self, lock_file: str) -> None:
        text = (ROOT / "requirements" / lock_file).read_text().replace("\\\n", "")
        lines = [line for line in text.splitlines() if line and not line.startswith("#")]
        assert all(re.match(r"[a-z0-9][a-z0-9-]*==[^\s;]+ ", line) for line in lines)
        assert len(lines) == len(pins(lock_file))
        assert [line for line in lines if "--hash=sha256:" not in line] == []


class TestDockerfile:
    @pytest.mark.parametrize("name", ["Dockerfile", "deploy/ray/Dockerfile"])
    def test_lint(self, name: str) -> None:
        hadolint = Path(sysconfig.get_path("scripts")) / "hadolint"
        run = subprocess.run([hadolint, name], cwd=ROOT, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stdout + run.stderr

    def test_serves_on_a_cpu_by_default(self) -> None:
        assert list(stages())[-1] == "cpu"

    def test_python_is_one_that_the_project_supports(self) -> None:
        (image,) = {line.split()[1] for lines in stages().values() for line in lines[:1]} - stages().keys()
        version = re.match(r"python:(\d+\.\d+)-", image)
        assert version
        assert version[1] in SpecifierSet(PROJECT["requires-python"])
        assert set(re.findall(r"python(3\.\d+)/site-packages", DOCKERFILE)) == {version[1]}

    def test_base_is_pinned(self) -> None:
        assert re.fullmatch(r"python:3\.\d+-slim-\w+@sha256:[0-9a-f]{64}", BASE)

    def test_version_label(self) -> None:
        assert f'org.opencontainers.image.version="{PROJECT["version"]}"' in DOCKERFILE

    @pytest.mark.parametrize(
        ("stage", "lock_file"), [("cpu", "serve.txt"), ("gpu", "serve-gpu.txt"), ("openvino", "serve-openvino.txt")]
    )
    def test_serving_installs_its_lock_file_alone(self, stage: str, lock_file: str) -> None:
        text = "\n".join(line for name in sorted(lineage(stage)) for line in stages()[name])
        assert set(re.findall(r"requirements/(\S+)", text)) == {lock_file}
        assert f"--require-hashes --requirement {lock_file}" in text

    @pytest.mark.parametrize("stage", ["cpu", "gpu", "openvino", "train"])
    def test_runs_as_an_unprivileged_numeric_user(self, stage: str) -> None:
        assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", last("USER", stage))

    def test_training_keeps_decoded_images_in_a_volume(self) -> None:
        folder = Path(last("ENV", "train").removeprefix("RETINA_TRAINING_CACHE="))
        mounted = [volume.rpartition(":")[2] for volume in COMPOSE["services"]["train"]["volumes"]]
        assert str(folder.parent) in mounted

    @pytest.mark.parametrize(("stage", "provider"), [("gpu", "cuda"), ("openvino", "openvino")])
    def test_other_builds_of_the_runtime_never_serve_on_the_cpu_instead(self, stage: str, provider: str) -> None:
        """Neither by the image nor by compose."""
        assert f"RETINA_PROVIDER={provider}" in last("ENV", stage)
        assert COMPOSE["services"][stage]["environment"]["RETINA_PROVIDER"] == provider

    @pytest.mark.parametrize("stage", ["cpu", "gpu", "openvino"])
    def test_starts_the_service(self, stage: str) -> None:
        assert json.loads(last("ENTRYPOINT", stage)) == ["python", "-m", "service"]

    @pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False)])
    def test_health_check_follows_readiness(self, status: int, healthy: bool) -> None:
        command = json.loads(last("HEALTHCHECK", "cpu").partition(" CMD ")[2])
        with answering({"/v2/health/ready": status}) as port:
            environment = os.environ | {"RETINA_PORT": str(port), "http_proxy": "http://127.0.0.1:9"}
            run = subprocess.run([sys.executable, *command[1:]], env=environment, capture_output=True, check=False)
        assert (run.returncode == 0) is healthy


class TestCompose:
    def test_follows_the_schema(self, tmp_path: Path) -> None:
        """The file, and the one in the documentation that adds gRPC."""
        (addition,) = re.findall(r"^```yaml\n(.*?)```", (ROOT / "docs" / "protocol.md").read_text(), re.M | re.S)
        (tmp_path / "docker-compose.override.yml").write_text(addition)
        files = [str(ROOT / "docker-compose.yml"), str(tmp_path / "docker-compose.override.yml")]
        command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", *files]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stdout + run.stderr
        assert yaml.safe_load(addition)["services"].keys() < COMPOSE["services"].keys()

    @pytest.mark.parametrize("service", COMPOSE["services"])
    def test_container_is_locked_down(self, service: str) -> None:
        options = COMPOSE["services"][service]
        assert options["profiles"] == [service]
        assert options["build"]["target"] in stages()
        assert options["read_only"] is True
        assert options["cap_drop"] == ["ALL"]
        assert options["security_opt"] == ["no-new-privileges:true"]

    @pytest.mark.parametrize(("service", "count"), [("gpu", "all"), ("train", 1)])
    def test_gpus(self, service: str, count: str | int) -> None:
        """Serving has every GPU of the machine, training one."""
        (device,) = COMPOSE["services"][service]["deploy"]["resources"]["reservations"]["devices"]
        assert device == {"driver": "nvidia", "count": count, "capabilities": ["gpu"]}

    @pytest.mark.parametrize("service", ["cpu", "gpu", "openvino"])
    @pytest.mark.parametrize(
        ("given", "starts"),
        [
            ({}, True),
            ({"RETINA_HOST": "127.0.0.1"}, True),
            ({"RETINA_HOST": "0.0.0.0"}, False),
            ({"RETINA_HOST": "0.0.0.0", "RETINA_AUTH": "none"}, True),
            ({"RETINA_HOST": "0.0.0.0", "RETINA_AUTH": "required", "RETINA_ADMIN_KEY": "the-key"}, True),
        ],
    )
    def test_is_open_on_this_machine_alone(
        self, service: str, given: dict[str, str], starts: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The container's variables, as compose fills them in, on the image's own."""
        for name in [name for name in os.environ if name.startswith("RETINA_")]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("RETINA_HOST", re.findall(r"RETINA_HOST=(\S+)", "\n".join(inherited("cpu")))[0])
        for name, value in COMPOSE["services"][service]["environment"].items():
            if name.startswith(("RETINA_PUBLISHED", "RETINA_AUTH", "RETINA_KEYS", "RETINA_ADMIN", "RETINA_OIDC")):
                variable, default = re.fullmatch(r"\$\{(\w+):-(.*)\}", value).groups()  # type: ignore[union-attr]
                monkeypatch.setenv(name, given.get(variable) or default)
        with nullcontext() if starts else pytest.raises(SettingsError, match="RETINA_AUTH=none"):
            is_required(load_settings())

    @pytest.mark.parametrize("service", ["cpu", "gpu", "openvino"])
    def test_publishes_on_this_machine_alone_by_default(self, service: str) -> None:
        assert COMPOSE["services"][service]["ports"] == ["${RETINA_HOST:-127.0.0.1}:${RETINA_PORT:-8000}:8000"]
