"""Run an image's file system with runc, locked down as docker-compose.yml does it."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

# Of Docker's default, what a service may need; nothing that a container of the same kernel would share with others.
MOUNTS: list[dict[str, Any]] = [
    {"destination": "/proc", "type": "proc", "source": "proc"},
    {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=64k"]},
    {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["nosuid", "noexec", "nodev", "size=64m"]},
    {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "noexec", "nodev"]},
]


class Container:
    """One container of an image; its network is this machine's, all else is its own.

    Args:
        root: Folder with the image's file system.
        config: The image's settings as Docker reads them.
        environment: Variables on top of the image's own.
        folder: A folder for the container's files, which does not exist yet.
    """

    def __init__(self, root: Path, config: dict[str, Any], environment: dict[str, str], folder: Path) -> None:
        folder.mkdir()
        self.name = f"retina-srm-{folder.name}-{os.getpid()}"
        self.runc = ["runc", "--root", str(folder / "state")]
        self.log = folder / "log"
        user, group = map(int, config["User"].split(":"))
        spec = {
            "ociVersion": "1.0.2",
            "root": {"path": str(root), "readonly": True},
            "mounts": MOUNTS,
            "process": {
                "args": config["Entrypoint"] + (config.get("Cmd") or []),
                "env": config["Env"] + [f"{name}={value}" for name, value in environment.items()],
                "cwd": config.get("WorkingDir") or "/",
                "user": {"uid": user, "gid": group},
                "capabilities": {},
                "noNewPrivileges": True,
            },
            "linux": {"namespaces": [{"type": kind} for kind in ("pid", "mount", "ipc", "uts")]},
        }
        (folder / "config.json").write_text(json.dumps(spec))
        with self.log.open("w") as log:
            self.process = subprocess.Popen([*self.runc, "run", "--bundle", folder, self.name], stdout=log, stderr=log)

    def status(self) -> dict[str, str]:
        """Return what the kernel says about the container's first process."""
        state = subprocess.run([*self.runc, "state", self.name], capture_output=True, text=True, check=True).stdout
        lines = Path(f"/proc/{json.loads(state)['pid']}/status").read_text().splitlines()
        return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}

    def execute(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the container as its user."""
        run = [*self.runc, "exec", "--no-new-privs", self.name, *command]
        return subprocess.run(run, capture_output=True, text=True, check=False)

    def ended(self, limit_s: float) -> int | None:
        """Wait for the container's end; return its exit status, or None if it still runs after this time."""
        try:
            return self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            return None

    def stop(self, grace_s: float) -> int | None:
        """Ask the container to end, as `docker stop` does; return as `ended` does."""
        subprocess.run([*self.runc, "kill", self.name, "TERM"], check=True)
        return self.ended(grace_s)

    def remove(self) -> None:
        subprocess.run([*self.runc, "delete", "--force", self.name], capture_output=True, check=False)
        self.ended(10)
