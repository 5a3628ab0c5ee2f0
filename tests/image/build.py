"""Build the Dockerfile's default target with buildah, on a base of Debian's packages where no registry is at hand."""

import ast
import configparser
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

# What the Dockerfile uses of the official image: python and pip of 3.11, and the commands for users and folders.
DEBIAN = "bookworm"
DEBIAN_PACKAGES = ["ca-certificates", "python-is-python3", "python3", "python3-pip", "python3-venv"]


class Builder:
    """buildah with a storage of its own, so that nothing is left among the machine's images."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # The driver vfs needs no kernel support, but copies the whole file system for each stage.
        driver = os.environ.get("STORAGE_DRIVER", "overlay")
        storage = ["--root", folder / "storage", "--runroot", folder / "run", "--storage-driver", driver]
        self.command = ["buildah", *map(str, storage)]

    def __call__(self, *arguments: str | Path) -> str:
        """Run a command of buildah; what it says about the progress goes to the screen."""
        command = [*self.command, *map(str, arguments)]
        run = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
        if run.returncode:
            raise SystemExit(f"FAILED  {run.stdout}\n`buildah {arguments[0]}` ended with status {run.returncode}")
        return run.stdout.strip()

    def debian_base(self) -> str:
        """Make a base image of Debian's packages; return its name."""
        system = self.folder / "debian"
        options = ["--variant=minbase", f"--include={','.join(DEBIAN_PACKAGES)}"]
        with (self.folder / "debootstrap.log").open("w") as log:
            made = subprocess.run(["debootstrap", *options, DEBIAN, system], stdout=log, stderr=log, check=False)
        if made.returncode:
            raise SystemExit((self.folder / "debootstrap.log").read_text())
        container = self("from", "scratch")
        self("add", "--quiet", container, system, "/")
        self("commit", "--quiet", container, "localhost/retina-srm-base")
        self("rm", container)
        shutil.rmtree(system)
        return "localhost/retina-srm-base"

    def image(self, base: str | None) -> str:
        """Build the default target on this base, or on the one that the Dockerfile names; return the image's name."""
        # The format "docker" keeps the health check.
        options = ["--isolation", "chroot", "--format", "docker", "--tag", "localhost/retina-srm"]
        if base:
            options += ["--build-arg", f"BASE={base}", "--pull=never"]
        for path, inside in pip_files(self.folder / "pip.conf"):
            options += ["--volume", f"{path}:{inside}:ro"]
        log = self("build", *options, ".")
        (self.folder / "build.log").write_text(log)
        return "localhost/retina-srm"

    def config(self, image: str) -> dict[str, Any]:
        """Return the image's settings as Docker reads them."""
        config: dict[str, Any] = json.loads(self("inspect", "--type", "image", image))["Docker"]["config"]
        return config

    def size(self, image: str) -> str:
        size: str = json.loads(self("images", "--json", image))[0]["size"]
        return size

    def mount(self, image: str) -> Path:
        """Return the folder where the file system of a new container of this image is mounted."""
        return Path(self("mount", self("from", "--pull=never", image)))

    def remove(self) -> None:
        """Remove all that was made; mounts first, also those that an interrupted command left."""
        self("umount", "--all")
        mounted = [Path(line.split()[1]) for line in Path("/proc/mounts").read_text().splitlines()]
        for place in reversed(mounted):
            if place.is_relative_to(self.folder):
                subprocess.run(["umount", place], check=True)
        shutil.rmtree(self.folder)


def pip_files(written: Path) -> list[tuple[Path, Path]]:
    """Write this machine's settings of pip to a file; return it and the local files that it names.

    Each comes with its place inside. They are mounted while the image is built, so that neither the Dockerfile nor the
    image has them.
    """
    command = [sys.executable, "-m", "pip", "config", "list"]
    listed = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    settings = configparser.RawConfigParser()
    paths = set()
    # Variables come first in the list, but they win over files.
    for line in reversed(listed.stdout.splitlines()):
        name, _, quoted = line.partition("=")
        section, _, key = name.removeprefix(":env:").rpartition(".")
        value = str(ast.literal_eval(quoted))
        if not settings.has_section(section or "global"):
            settings.add_section(section or "global")
        settings.set(section or "global", key, value)
        local = {Path(word.removeprefix("file://")) for word in value.split()}
        # A local index has its files beside the folder of its pages.
        paths |= {path.parent for path in local} if key.endswith("index-url") else local
    with written.open("w") as stream:
        settings.write(stream)
    files = [path for path in sorted(paths) if path.is_absolute() and path.exists()]
    return [(written, Path("/etc/pip.conf")), *((path, path) for path in files)]
