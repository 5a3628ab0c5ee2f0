"""Which process holds the service's end of a connection, read from /proc."""

import http.client
import os
import time
from pathlib import Path


class Connection(http.client.HTTPConnection):
    """A connection that knows its worker."""

    def __init__(self, port: int) -> None:
        super().__init__("127.0.0.1", port, timeout=30)
        self.worker = 0

    def connect(self) -> None:
        super().connect()
        self.worker = self.owner()

    def owner(self) -> int:
        """Wait until a process has taken the connection, and return its id."""
        own = self.sock.getsockname()[1]
        for _ in range(2000):
            for inode in inodes(self.port, own):
                for pid in workers_of(os.getpid()):
                    if holds(pid, inode):
                        return pid
            time.sleep(0.005)
        raise TimeoutError("no worker took the connection")


def inodes(server: int, client: int) -> list[str]:
    """The inodes of the sockets at the server's end of connections between two ports."""
    wanted = f":{server:04X}", f":{client:04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return [row[9] for row in rows if row[1].endswith(wanted[0]) and row[2].endswith(wanted[1]) and row[9] != "0"]


def holds(pid: int, inode: str) -> bool:
    """Whether a process has a socket open."""
    try:
        return any(str(link.readlink()) == f"socket:[{inode}]" for link in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:  # it ended, or closed one meanwhile
        return False


def workers_of(ancestor: int) -> list[int]:
    """The workers among the descendants of a process."""
    found = []
    for pid in children(ancestor):
        arguments = command(pid)
        found += [pid] if arguments[1:4] == ["-m", "service", "worker"] else workers_of(pid)
    return found


def children(pid: int) -> list[int]:
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except OSError:
        return []


def command(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return []
