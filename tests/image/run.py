"""Build the serving image and try it: ``make image-test``, as root on Debian.

Docker is not needed. buildah builds the Dockerfile's default target, and runc runs it read-only and as its user.
"""

import argparse
import hashlib
import json
import os
import shutil
import stat
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.image.build import ROOT, Builder
from tests.image.container import Container
from tests.ports import free_port

PACKAGES = ("buildah", "runc", "debootstrap")
DEMO = ROOT / "service" / "page" / "demo" / "oct.jpeg"
# Packages of training, and the installer: none of them belongs into the service's environment.
UNWANTED = ("torch", "torchmetrics", "torchvision", "monai", "ignite", "sklearn", "scipy", "pip", "setuptools", "wheel")
# Where the user may write if the file system is not read-only; volumes are mounted on the first two.
WRITABLE = {Path(path) for path in ("/keys", "/records", "/tmp", "/var/tmp", "/run/lock")}
# `docker stop` kills after ten seconds.
GRACE_S = 10


def check(passed: object, what: str) -> None:
    if not passed:
        raise SystemExit(f"FAILED  {what}")
    print(f"passed  {what}", flush=True)


def writable(root: Path, user: int, group: int) -> Iterator[Path]:
    """Yield the files and folders of an image that a user may write to, by their modes."""
    for folder, folders, files in os.walk(root):
        for path in (Path(folder, name) for name in [*folders, *files]):
            found = path.lstat()
            mode = found.st_mode
            if stat.S_ISLNK(mode) or stat.S_ISCHR(mode):
                continue
            owned = found.st_uid == user and mode & stat.S_IWUSR
            if owned or (found.st_gid == group and mode & stat.S_IWGRP) or mode & stat.S_IWOTH:
                yield Path("/", path.relative_to(root))


def ask(url: str, body: bytes | None = None) -> Any:
    headers = {"Content-Type": "application/octet-stream"} if body else {}
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(urllib.request.Request(url, body, headers), timeout=30) as answer:
        return json.loads(answer.read() or "null")


def wait_until_ready(url: str, container: Container, limit_s: float = 60) -> float:
    """Return how many seconds the service took to be ready."""
    start = time.perf_counter()
    while time.perf_counter() - start < limit_s:
        try:
            ask(f"{url}/v2/health/ready")
        except OSError:
            check_running(container)
            time.sleep(0.05)
        else:
            return time.perf_counter() - start
    raise SystemExit(f"FAILED  not ready after {limit_s:.0f} s:\n{container.log.read_text()}")


def check_running(container: Container) -> None:
    if container.process.poll() is not None:
        raise SystemExit(f"FAILED  the service ended by itself:\n{container.log.read_text()}")


def check_contents(root: Path, config: dict[str, Any]) -> None:
    user, group = map(int, config["User"].split(":"))
    packages = {path.name.partition("-")[0] for path in root.glob("opt/venv/lib/python3.11/site-packages/*")}
    check({"fastapi", "onnxruntime", "service"} <= packages, "the environment has the service")
    check(not packages & set(UNWANTED), "it has neither torch nor MONAI nor pip")
    found = sorted(set(writable(root, user, group)) - WRITABLE)
    check(
        not found,
        f"its user can write to no other folder than {', '.join(map(str, sorted(WRITABLE)))} {found[:5] or ''}",
    )


def check_refusal(root: Path, config: dict[str, Any], folder: Path) -> None:
    """Without a choice who may use it, the image does not start: it listens on every address."""
    container = Container(root, config, {}, folder)
    try:
        refused = container.ended(limit_s=30)
    finally:
        container.remove()
    check(refused and "RETINA_AUTH=none" in container.log.read_text(), "without keys or RETINA_AUTH it does not start")


def check_service(root: Path, config: dict[str, Any], folder: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    container = Container(root, config, {"RETINA_HOST": "127.0.0.1", "RETINA_PORT": str(port)}, folder)
    try:
        check(True, f"ready after {wait_until_ready(url, container):.1f} s")
        status = container.status()
        check({*status["Uid"].split(), *status["Gid"].split()} == {"10001"}, "it runs as 10001:10001")
        check(int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0, "it has no capability and can get none")
        check(status["NoNewPrivs"] == "1", "it can get no other privileges")
        written = container.execute("python", "-c", "open('/records/file', 'w')")
        check("Read-only file system" in written.stderr, "its file system is read-only")
        health = container.execute(*config["Healthcheck"]["Test"][1:])
        check(health.returncode == 0, "its health check passes")
        answer = ask(f"{url}/v1/models/oct/predict?weights=none", DEMO.read_bytes())
        version = answer["model"]["version"]
        (package,) = (ROOT / "models" / "repository" / "oct" / version).glob("*.onnx")
        digest = f"sha256:{hashlib.sha256(package.read_bytes()).hexdigest()}"
        check(answer["model"]["digest"] == digest, "the answer is of the model in models/repository")
        label = answer["predictions"][0]["label"]
        check(label == "choroidal neovascularization", f"it has the demo image's label, {label}")
        start = time.perf_counter()
        check(container.stop(GRACE_S) == 0, f"it ends with status 0 {time.perf_counter() - start:.1f} s after SIGTERM")
    finally:
        container.remove()


def check_store(root: Path, config: dict[str, Any], folder: Path) -> None:
    """Models are copied from a store of objects, by the image's own library and to where its user may write."""
    try:
        import boto3
        from moto.server import ThreadedMotoServer

        from tests.service.storage.conftest import Bucket, credentials
    except ModuleNotFoundError:
        print("skipped  models in S3: the Python that runs this has no moto (make image-test PYTHON=.venv/bin/python)")
        return
    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, at = server.get_host_and_port()
    access = credentials(f"http://{host}:{at}")
    os.environ.update(access)
    bucket = Bucket(boto3.client("s3"), access["AWS_ENDPOINT_URL"])
    (package,) = (ROOT / "models" / "repository" / "oct").glob("*/*.onnx")
    bucket.publish("7", package.read_bytes(), name="oct")
    port = free_port()
    settings = {"RETINA_HOST": "127.0.0.1", "RETINA_PORT": str(port), "RETINA_MODEL_REPOSITORY": bucket.address}
    container = Container(root, config, access | settings, folder)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until_ready(url, container)
        (model,) = ask(f"{url}/v1/models")["models"]
        check((model["name"], model["version"]) == ("oct", "7"), "it serves the models of a store, s3://...")
    finally:
        container.remove()
        server.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--base",
        choices=["debian", "registry"],
        default="debian",
        help="what to build on: Debian's packages, or the image that the Dockerfile names, from its registry",
    )
    chosen = parser.parse_args()
    if missing := [name for name in PACKAGES if not shutil.which(name)]:
        raise SystemExit(
            f"Missing: {', '.join(missing)}. On Debian: apt-get install --no-install-recommends {' '.join(PACKAGES)}"
        )
    if os.geteuid():
        raise SystemExit("Run it as root: it makes a file system and mounts it.")
    (ROOT / "build").mkdir(exist_ok=True)
    builder = Builder(Path(tempfile.mkdtemp(prefix="image-", dir=ROOT / "build")))
    try:
        start = time.perf_counter()
        base = builder.debian_base() if chosen.base == "debian" else None
        based = time.perf_counter()
        image = builder.image(base)
        built = time.perf_counter()
        print(f"Base in {based - start:.0f} s, image in {built - based:.0f} s: {builder.size(image)}")
        config = builder.config(image)
        check(config["User"] == "10001:10001", "the image's user is 10001:10001")
        root = builder.mount(image)
        check_contents(root, config)
        check_refusal(root, config, builder.folder / "refused")
        check_service(root, config, builder.folder / "service")
        check_store(root, config, builder.folder / "store")
    finally:
        builder.remove()


if __name__ == "__main__":
    main()
