"""A worker's process: it takes its place, builds the application, and serves on the supervisor's socket."""

import socket
from pathlib import Path
from typing import Any

from service.settings import load_settings
from service.workers.places import Place
from service.workers.seat import Seat


def work(task: dict[str, Any]) -> None:
    """Serve as one of several workers.

    Args:
        task: What :meth:`Supervisor.start` says: the seat, threads and CPUs, and the descriptors of the listening
            sockets and of the channel to the supervisor.
    """
    cpus = None if task["cpus"] is None else frozenset(task["cpus"])
    Place(task["threads"], cpus, task["device"]).take()
    from service.app import create_app
    from service.observing import logs, tracing
    from service.server import serve

    seat = Seat(task["index"], task["count"], Path(task["folder"]))
    settings = load_settings().model_copy(update={"threads": task["threads"]})
    *sockets, channel = (socket.socket(fileno=descriptor) for descriptor in (*task["sockets"], task["channel"]))
    for inherited in (*sockets, channel):
        inherited.set_inheritable(False)  # processes that this one starts have no use for them
    with logs.serving(settings):
        tracing.start()
        app = create_app(settings, seat, channel)
        serve(app, settings, sockets, alone=False)
