"""A worker among the others: it asks the supervisor to load or unload, and does what all have agreed on."""

import asyncio
import logging
import os
import signal
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from models.package import PackageError
from service.inference.errors import UnknownModelError
from service.inference.lifecycle import Findings, Lifecycle, Refusal
from service.workers.agreement import Found
from service.workers.channel import Channel, GoneError

logger = logging.getLogger(__name__)


class Membership:
    """The models of a worker. It has the calls of :class:`Lifecycle` that the routes make, for all workers together."""

    def __init__(self, lifecycle: Lifecycle, end: socket.socket) -> None:
        self.lifecycle = lifecycle
        self.end = end
        self.channel: Channel | None = None
        self.findings: dict[str, Findings] = {}
        """What is loaded and not yet served."""

    @asynccontextmanager
    async def joined(self) -> AsyncGenerator[None]:
        """Serve the same models as the other workers, from before the first request until the block ends."""
        self.channel = channel = await Channel.over(self.end, self.handle)
        listening = asyncio.create_task(self.listen(channel))
        try:
            if (reason := (await channel.ask("join"))["refused"]) is not None:
                raise PackageError(f"This worker does not begin to serve: {reason}")
            yield
        finally:
            listening.cancel()

    async def listen(self, channel: Channel) -> None:
        """Do as the supervisor says. Without it nobody would end this process, so it ends as after SIGTERM."""
        await channel.listen()
        logger.error("the supervisor has gone: this worker shuts down")
        os.kill(os.getpid(), signal.SIGTERM)

    async def ask(self, what: str, name: str) -> dict[str, Any]:
        assert self.channel is not None, "the routes are called after the worker has joined"
        try:
            answer: dict[str, Any] = await self.channel.ask(what, model=name)
        except GoneError as error:
            raise PackageError(f"The supervisor of the workers does not answer: {error}") from None
        if "unknown" in answer:
            raise UnknownModelError(answer["unknown"])
        return answer

    async def load(self, name: str) -> None:
        """As :meth:`Lifecycle.load`, by all workers."""
        answer = await self.ask("load", name)
        if answer["refused"]:
            raise PackageError("; ".join(answer["refused"]))

    async def unload(self, name: str) -> None:
        """As :meth:`Lifecycle.unload`, by all workers."""
        await self.ask("unload", name)

    async def index(self) -> list[dict[str, str]]:
        """As :meth:`Lifecycle.index`. Between rounds all workers have the same."""
        return await self.lifecycle.index()

    async def handle(self, what: str, content: dict[str, Any]) -> Any:
        """Answer the supervisor."""
        try:
            return await self.answer(what, **content)
        except UnknownModelError as error:
            return {"unknown": str(error)}

    async def answer(self, what: str, **content: Any) -> Any:
        lifecycle = self.lifecycle
        match what:
            case "served":
                models = lifecycle.repository.models.items()
                return {name: {version: m.digest for version, m in versions.items()} for name, versions in models}
            case "find":
                retry = content["retry"]
                self.findings = {name: await lifecycle.examined(name, retry=retry) for name in content["models"]}
                return {"found": self.found()}
            case "news":
                self.findings = await lifecycle.news()
                return {"found": self.found()}
            case "switch":
                for name, findings in self.findings.items():
                    lifecycle.switch(name, findings)
                self.findings = {}
            case "abandon":
                self.abandon(content["refused"])
            case "unload":
                await lifecycle.unload(content["model"])
            case _:
                raise ValueError(f"no question: {what}")
        return {}

    def found(self) -> Found:
        """What was found, for the supervisor."""
        served = self.lifecycle.repository.models
        return {
            name: {
                "keep": {
                    version: (served[name][version] if model is None else model).digest
                    for version, model in findings.keep.items()
                },
                "refused": {version: refusal.reason for version, refusal in findings.refused.items()},
            }
            for name, findings in self.findings.items()
        }

    def abandon(self, refused: dict[str, dict[str, str]]) -> None:
        """Serve nothing of what was found, and from now on refuse what one of the workers refuses."""
        for name, reasons in refused.items():
            findings = self.findings.get(name, Findings())
            for version, reason in reasons.items():
                if (signature := findings.signatures.get(version)) is not None:
                    self.lifecycle.refuse(name, version, Refusal(signature, reason))
        self.findings = {}
