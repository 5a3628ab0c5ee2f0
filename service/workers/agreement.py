"""Which versions of models all workers serve: those that every worker has loaded and checked.

The supervisor asks all workers to load what is new. Only when all have found the same does it tell them to serve it. A
version that one worker refuses is refused by all.
"""

import asyncio
import logging
from typing import Any, Protocol

from service.storage.mirror import Mirror
from service.workers.channel import GoneError

logger = logging.getLogger(__name__)
LONGEST_S = 300.0
"""For a worker to load the packages of a round."""
TRIES = 3
"""To find the same. The second is enough if one worker refuses a package, or reads it before it is replaced."""

Found = dict[str, dict[str, dict[str, str]]]
"""What a worker found, by model: ``keep`` from version to digest, ``refused`` from version to reason."""


class Worker(Protocol):
    """A worker that serves or is about to."""

    number: int

    async def ask(self, what: str, timeout_s: float | None = None, **content: Any) -> Any:
        """Ask it; raises :class:`GoneError`."""
        ...


class Agreement:
    """The rounds of the supervisor, one after another. With a mirror it copies from the store before a round."""

    def __init__(self, mirror: Mirror | None = None) -> None:
        self.mirror = mirror
        self.lock = asyncio.Lock()
        self.workers: dict[int, Worker] = {}
        """By number, those that serve."""
        self.unloaded: set[str] = set()

    async def join(self, worker: Worker) -> str | None:
        """Let a worker serve that has loaded what it found. Return why it can't, if it can't serve the same as others.

        Raises:
            GoneError: if it has ended meanwhile.
        """
        async with self.lock:
            for name in self.unloaded:
                await worker.ask("unload", LONGEST_S, model=name)
            others = list(self.workers.values())
            self.workers[worker.number] = worker
            if not others:
                return None
            for name in await self.different(others[0], worker):
                logger.info("worker %d found another %s than is served: all load it", worker.number, name)
                await self.round("find", models=[name], retry=True)
            if different := await self.different(others[0], worker):
                self.left(worker)
                return f"it can't serve the same {' and '.join(different)} as the other workers"
            return None

    async def different(self, one: Worker, other: Worker) -> list[str]:
        """The models of which two workers do not serve the same."""
        served, own = await one.ask("served", LONGEST_S), await other.ask("served", LONGEST_S)
        return sorted({name for name in {*served, *own} if served.get(name) != own.get(name)})

    def left(self, worker: Worker) -> None:
        """A worker no longer serves."""
        if self.workers.get(worker.number) is worker:
            del self.workers[worker.number]

    async def load(self, name: str) -> dict[str, Any]:
        """Let all workers load a model as it is now.

        Keys of the answer: ``unknown``, a text, if there is no such model; ``refused``, the reasons.
        """
        reasons = [] if self.mirror is None else await self.mirror.refreshed(name)
        async with self.lock:
            answer = await self.round("find", models=[name], retry=True)
            if "unknown" not in answer:
                self.unloaded.discard(name)
                answer["refused"] = reasons + answer["refused"]
            return answer

    async def unload(self, name: str) -> dict[str, Any]:
        """Let all workers unload a model. Return when its requests in flight are answered; ``unknown`` as of load."""
        async with self.lock:
            answers = await self.ask_all("unload", model=name)
            if answers and all("unknown" in answer for answer in answers.values()):
                return dict(next(iter(answers.values())))
            self.unloaded.add(name)
            return {}

    async def poll(self) -> None:
        """Let all workers look for what is new."""
        if self.mirror is not None:
            await self.mirror.refreshed()
        async with self.lock:
            await self.round("news")

    async def round(self, what: str, **content: Any) -> dict[str, Any]:
        """Let all workers load, and let them serve it if they have found the same."""
        refused: dict[str, dict[str, str]] = {}
        for _ in range(TRIES):
            answers = await self.ask_all(what, **content)
            for answer in answers.values():
                if "unknown" in answer:
                    await self.ask_all("abandon", refused={})
                    return dict(answer)
            found: dict[int, Found] = {number: answer["found"] for number, answer in answers.items()}
            for name, reasons in refusals(found).items():
                refused.setdefault(name, {}).update(reasons)
            kept = [{name: model["keep"] for name, model in each.items()} for each in found.values()]
            if all(each == kept[0] for each in kept):
                await self.ask_all("switch")
                return {"refused": [reason for reasons in refused.values() for reason in reasons.values()]}
            await self.ask_all("abandon", refused=refused)
            if what == "news":  # a file that is being copied is not the same for all: the next scan is soon
                break
            content["retry"] = False
        return {"refused": ["the workers did not find the same files: load the model again when they are in place"]}

    async def ask_all(self, what: str, **content: Any) -> dict[int, Any]:
        """The answers of the workers that are still there when they have answered."""

        async def one(worker: Worker) -> Any:
            try:
                return await worker.ask(what, LONGEST_S, **content)
            except GoneError as error:
                logger.warning("worker %d: %s", worker.number, error)
                return None

        workers = list(self.workers.values())
        answers = await asyncio.gather(*(one(worker) for worker in workers))
        return {worker.number: answer for worker, answer in zip(workers, answers, strict=True) if answer is not None}


def refusals(found: dict[int, Found]) -> dict[str, dict[str, str]]:
    """Every refusal of a worker, by model and version, with the worker if not all had the same."""
    refused: dict[str, dict[str, str]] = {}
    for number, models in found.items():
        for name, model in models.items():
            for version, reason in model["refused"].items():
                everywhere = all(version in each.get(name, {"refused": {}})["refused"] for each in found.values())
                text = reason if everywhere else f"worker {number}: {reason}"
                refused.setdefault(name, {}).setdefault(version, text)
    return refused
