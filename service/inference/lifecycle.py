"""Which packages in the folder of the repository are served: loading, switching, refusing, draining, unloading.

A package is loaded and checked in a thread while requests continue. The switch is one assignment in the thread of the
event loop. A request keeps its model until it is answered, so a reload loses no request. A package that can't be used
changes only the log, the metrics and the index.
"""

import asyncio
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from models.package import FILE_NAME, PackageError
from service.inference.errors import UnknownModelError
from service.inference.execution import execution_of
from service.inference.package_checks import digest_path
from service.inference.plans import in_words
from service.inference.predictor import Predictor
from service.inference.providers import ProviderError
from service.inference.repository import Repository, load_package, packages
from service.inference.runtime import Model
from service.observing.metrics import Metrics
from service.settings import Settings
from service.storage.mirror import Mirror

logger = logging.getLogger(__name__)
UNLOADED = "unloaded by request; a load request brings it back"


class Signature(NamedTuple):
    """Identity of a package file and of its digest file in the file system. Any write changes it."""

    file: tuple[int, int, int]
    digest: tuple[int, int, int] | None


class Refusal(NamedTuple):
    """A package that could not be used, its identity at that time, and why."""

    signature: Signature
    reason: str


@dataclass
class Findings:
    """The packages of one model, by version: what to serve and what was refused."""

    keep: dict[str, Model | None] = field(default_factory=dict)
    """Versions to serve: a newly loaded model, or None for the one that is served already."""
    signatures: dict[str, Signature] = field(default_factory=dict)
    refused: dict[str, Refusal] = field(default_factory=dict)


class Lifecycle:
    """The models of a repository folder: loading, replacing and unloading."""

    def __init__(
        self,
        repository: Repository,
        predictor: Predictor,
        metrics: Metrics,
        settings: Settings,
        mirror: Mirror | None = None,
    ) -> None:
        self.repository = repository
        self.predictor = predictor
        self.metrics = metrics
        self.settings = settings
        self.mirror = mirror
        self.execution = execution_of(settings)
        self.lock = asyncio.Lock()
        self.loaded: dict[tuple[str, str], Signature] = {}
        self.refused: dict[tuple[str, str], Refusal] = {}
        self.unloaded: set[str] = set()
        self.seen: dict[tuple[str, str], Signature] = {}
        self.loading: tuple[str, str] | None = None
        self.draining: dict[asyncio.Task[None], tuple[str, str]] = {}

    def start(self) -> None:
        """Load what the folder holds, before any request.

        Raises:
            PackageError: if it holds no package, or if a model has no usable version.
        """
        found = self.scan()
        if not found:
            raise PackageError(
                f"{self.settings.model_repository} holds no model package: expected <model>/<version>/{FILE_NAME}"
            )
        for name, present in found.items():
            findings = self.examine(name, present, retry=True)
            self.switch(name, findings)
            if name not in self.repository.models:
                raise PackageError("; ".join(refusal.reason for refusal in findings.refused.values()))

    async def watch(self) -> None:
        """Scan the folder again and again, until cancelled."""
        while True:
            await asyncio.sleep(self.settings.repository_poll_seconds)
            try:
                await self.poll()
            except Exception:  # the next scan may succeed, and the served models are not changed
                logger.exception("looking for new models in %s failed", self.settings.model_repository)

    async def poll(self) -> None:
        """Load packages that are new and unchanged since the last scan, and unload those that were deleted."""
        if self.mirror is not None:
            await self.mirror.refreshed()
        async with self.lock:
            for name, findings in (await self.news()).items():
                self.switch(name, findings)

    async def news(self) -> dict[str, Findings]:
        """Scan once, and load packages that are new and unchanged since the last scan. None is served yet.

        A package that is still being copied differs between scans, so it waits. A model whose files are all gone is
        served further, because a folder may be unmounted for a moment.
        """
        found = await asyncio.to_thread(self.scan)
        before = self.seen
        self.seen = {(name, version): found[name][version] for name in found for version in found[name]}
        news = {}
        for name in sorted(found.keys() - self.unloaded):
            settled = {}
            for version, signature in found[name].items():
                if before.get((name, version)) == signature:
                    settled[version] = signature
                elif (name, version) in self.loaded:  # being overwritten: the loaded version stays for now
                    settled[version] = self.loaded[name, version]
            if settled:
                news[name] = await asyncio.to_thread(self.examine, name, settled, retry=False)
        return news

    async def load(self, name: str) -> None:
        """Load the packages of a model as they are now. Packages that were refused are tried again.

        Raises:
            UnknownModelError: if the folder has no such model.
            PackageError: if a package was refused, or not copied from the store. The others are still served.
        """
        reasons = [] if self.mirror is None else await self.mirror.refreshed(name)
        async with self.lock:
            findings = await self.examined(name, retry=True)
            self.switch(name, findings)
        if reasons := reasons + [refusal.reason for refusal in findings.refused.values()]:
            raise PackageError("; ".join(reasons))

    async def examined(self, name: str, *, retry: bool) -> Findings:
        """Load the packages of a model as they are now; with ``retry`` those too that were refused. None is served yet.

        Raises:
            UnknownModelError: if the folder has no such model.
        """
        found = await asyncio.to_thread(self.scan)
        if name not in found:
            raise UnknownModelError(f"The repository holds no model {name!r}; it holds: {', '.join(found) or 'none'}")
        return await asyncio.to_thread(self.examine, name, found[name], retry=retry)

    async def unload(self, name: str) -> None:
        """Answer new requests with 404, and return when requests in flight are answered and the memory is free.

        Raises:
            UnknownModelError: if no such model is served.
        """
        async with self.lock:
            versions = list(self.repository.models.get(name, ()))
            if not versions:
                raise UnknownModelError(f"No model {name!r} is served; there are: {', '.join(self.repository.models)}")
            self.unloaded.add(name)
            for version in versions:
                self.retire(self.repository.remove(name, version))
        tasks = [task for task, (drained, _) in self.draining.items() if drained == name]
        if tasks:
            await asyncio.wait(tasks)

    def scan(self) -> dict[str, dict[str, Signature]]:
        """Return the versions of each model in the folder."""
        found: dict[str, dict[str, Signature]] = {}
        for path in packages(self.settings.model_repository):
            if (signature := sign(path)) is not None:
                found.setdefault(path.parent.parent.name, {})[path.parent.name] = signature
        return found

    def examine(self, name: str, present: dict[str, Signature], *, retry: bool) -> Findings:
        """Load the versions to serve that are not loaded yet, newest first. Called in a thread."""
        findings, limit = Findings(signatures=present), self.settings.served_versions
        for version in sorted(present, key=int, reverse=True):
            key, signature = (name, version), present[version]
            if limit and len(findings.keep) == limit:
                break
            refusal = self.refused.get(key)
            if self.loaded.get(key) == signature:
                findings.keep[version] = None
                continue
            if retry or refusal is None or refusal.signature != signature:
                self.loading = key
                try:
                    findings.keep[version] = self.try_load(name, version, signature)
                    continue
                except (PackageError, ProviderError) as error:
                    findings.refused[version] = Refusal(signature, str(error))
                finally:
                    self.loading = None
            if key in self.loaded:  # the new content can't be used, so the earlier one is still served
                findings.keep[version] = None
        if not findings.keep:
            findings.keep = dict.fromkeys(self.repository.models.get(name, ()))
        return findings

    def try_load(self, name: str, version: str, signature: Signature) -> Model:
        path = self.settings.model_repository / name / version / FILE_NAME
        model = load_package(path, self.execution)
        if sign(path) != signature:
            raise PackageError(f"{path} changed while it was read: copy it under another name first, then rename it")
        return model

    def switch(self, name: str, findings: Findings) -> None:
        """Serve the loaded versions from the next request on."""
        for version, refusal in findings.refused.items():
            self.refuse(name, version, refusal)
        for version in sorted(findings.keep, key=int):
            model = findings.keep[version]
            if model is None:
                continue
            self.loaded[name, version] = findings.signatures[version]
            self.refused.pop((name, version), None)
            served = self.repository.models.get(name, {}).get(version)
            if served is not None and served.digest == model.digest:  # the same content, written again
                continue
            self.predictor.add(model)
            replaced = self.repository.add(model)
            self.metrics.loads.labels(name, "loaded").inc()
            logger.info("serving %s version %s (%s) on %s", name, version, model.digest[:19], model.provider)
            source = "by the tuning file" if self.execution.tuned(model.digest) else "by default"
            logger.info("plan of %s version %s, %s: %s", name, version, source, in_words(model.plan))
            if replaced is not None:
                self.drain(replaced)
        for version in list(self.repository.models.get(name, ())):
            if version not in findings.keep:
                self.retire(self.repository.remove(name, version))
        if name in self.repository.models:
            self.unloaded.discard(name)

    def refuse(self, name: str, version: str, refusal: Refusal) -> None:
        self.refused[name, version] = refusal
        self.metrics.loads.labels(name, "refused").inc()
        logger.error("refused %s version %s: %s", name, version, refusal.reason)

    def retire(self, model: Model) -> None:
        del self.loaded[model.name, model.version]
        self.metrics.loads.labels(model.name, "unloaded").inc()
        logger.info("no longer serving %s version %s (%s)", model.name, model.version, model.digest[:19])
        self.drain(model)

    def drain(self, model: Model) -> None:
        task = asyncio.get_running_loop().create_task(self.predictor.retire(model))
        self.draining[task] = (model.name, model.version)
        task.add_done_callback(lambda done: self.draining.pop(done))

    async def index(self) -> list[dict[str, str]]:
        """List each version in the folder or in service, as Triton's repository index does."""
        on_disk = await asyncio.to_thread(self.scan)
        found = {(name, version) for name in on_disk for version in on_disk[name]}
        draining = set(self.draining.values())
        entries = []
        for name, version in sorted(found | self.loaded.keys() | draining, key=lambda key: (key[0], int(key[1]))):
            key = (name, version)
            refusal = self.refused.get(key)
            if key in self.loaded:
                state = "READY"
                reason = f"the earlier content is still served; refused: {refusal.reason}" if refusal else ""
            elif key == self.loading:
                state, reason = "LOADING", ""
            elif key in draining:
                state, reason = "UNLOADING", "the requests in flight are being answered"
            elif name in self.unloaded:
                state, reason = "UNAVAILABLE", UNLOADED
            else:
                state = "UNAVAILABLE"
                reason = refusal.reason if refusal else "older than the versions to serve, or not scanned yet"
            entries.append({"name": name, "version": version, "state": state, "reason": reason})
        return entries


def sign(package: Path) -> Signature | None:
    """Return the identity of a package in the file system, or None if it is gone."""
    file = stamp(package)
    return None if file is None else Signature(file, stamp(digest_path(package)))


def stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
