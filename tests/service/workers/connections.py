"""Which process holds the service's end of a connection, read from /proc."""

import http.client
import os
import time
from pathlib import Path

MISSING = 20
"""So many readings without a row mean that there is none: one reading may miss a row while the table changes."""
ESTABLISHED = "01"
TAKEN_WITHIN_S = 60.0
"""If both workers were killed, a connection waits until one of the next has begun."""


class Connection(http.client.HTTPConnection):
    """A connection that knows its worker."""

    def __init__(self, port: int) -> None:
        super().__init__("127.0.0.1", port, timeout=30)
        self.worker = 0

    def connect(self) -> None:
        self.worker = 0  # not that of the last connection
        super().connect()
        self.worker = self.owner()

    def owner(self) -> int:
        """Wait until a process has taken the connection, and return its id.

        Raises:
            ConnectionResetError: if the service's end is gone: its worker was killed before it was seen here.
        """
        own, missing = self.sock.getsockname()[1], 0
        end = time.monotonic() + TAKEN_WITHIN_S
        while time.monotonic() < end:
            found = inodes(self.port, own)
            missing = 0 if found else missing + 1
            if missing == MISSING:
                raise ConnectionResetError("the service's end of the connection is gone")
            for inode in found:
                for pid in workers_of(os.getpid()):
                    if holds(pid, inode):
                        return pid
            time.sleep(0.005)
        raise TimeoutError("no worker took the connection")


def inodes(server: int, client: int) -> list[str]:
    """The inode of the socket at the server's end of a connection between two ports: 0 until a process has taken it.

    A killed process leaves its end closing, without an inode either; such an end does not count.
    """
    wanted = f":{server:04X}", f":{client:04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    open_rows = [row for row in rows if row[3] == ESTABLISHED]
    return [row[9] for row in open_rows if row[1].endswith(wanted[0]) and row[2].endswith(wanted[1])]


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
