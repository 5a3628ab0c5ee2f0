"""The wheel, installed as a stranger would install it: away from the source tree and without torch."""

import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.ports import free_port

ROOT = Path(__file__).parents[1]
START_LIMIT_S = 60

pytestmark = pytest.mark.network


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built by way of the source archive from a copy of the tree, which stays clean."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("models", "service", "training"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    build = run(sys.executable, "-m", "build", cwd=source)
    assert build.returncode == 0, build.stdout + build.stderr
    (found,) = (source / "dist").glob("*.whl")
    return found


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with the wheel and what serving needs."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", folder, cwd=folder)
    interpreter = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    for option, file in (("--requirement", ROOT / "requirements" / "serve.txt"), ("--no-deps", wheel)):
        install = run(interpreter, "-m", "pip", "install", "--quiet", option, file, cwd=folder)
        assert install.returncode == 0, install.stderr
    return interpreter


@pytest.fixture(scope="module")
def service(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of the service, started from the installed wheel and ready."""
    folder = tmp_path_factory.mktemp("elsewhere")
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    log = folder / "service.log"
    with (
        log.open("w") as output,
        subprocess.Popen(
            [python, "-m", "service", "--port", str(port)], cwd=folder, env=environment, stdout=output, stderr=output
        ) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client,
    ):
        try:
            wait_until_ready(client, process, log)
            yield client
        finally:
            process.terminate()


def wait_until_ready(client: httpx.Client, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if client.get("/v2/health/ready").is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    pytest.fail(
        f"The service was not ready within {START_LIMIT_S} s (exit status {process.poll()}):\n{log.read_text()}"
    )


def test_holds_the_data_files(wheel: Path) -> None:
    patterns = (
        "models/repository/**/*.onnx",
        "service/page/**/*",
        "training/recipes/*.yaml",
        "training/report/*.[cj]*",
    )
    shipped = {
        path.relative_to(ROOT).as_posix() for pattern in patterns for path in ROOT.glob(pattern) if path.is_file()
    }
    assert shipped >= {
        "models/repository/oct/3/model.onnx",
        "models/repository/dr/1/model.onnx",
        "service/page/index.html",
    }
    assert set(zipfile.ZipFile(wheel).namelist()) >= shipped


def test_dependencies_agree(python: Path, tmp_path: Path) -> None:
    check = run(python, "-m", "pip", "check", cwd=tmp_path)
    assert check.returncode == 0, check.stdout


def test_comes_without_torch(python: Path, tmp_path: Path) -> None:
    assert "No module named 'torch'" in run(python, "-c", "import torch", cwd=tmp_path).stderr


def test_help(python: Path, tmp_path: Path) -> None:
    shown = run(python, "-m", "service", "--help", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert "--port" in shown.stdout


def test_page(service: httpx.Client) -> None:
    page = service.get("/")
    assert page.status_code == 200
    assert "<html" in page.text


def test_classifies_its_demo_image(service: httpx.Client) -> None:
    (model,) = [model for model in service.get("/v1/models").json()["models"] if model["name"] == "dr"]
    image = service.get(model["demo"])
    answer = service.post("/v1/models/dr/predict", content=image.content, timeout=30)
    assert answer.status_code == 200, answer.text
    assert '"probabilities"' in answer.text
