"""The local copy of a model repository in a store: always whole packages, served like any other folder.

An object is copied under a temporary name, checked, written through to the disk, and renamed. A refresh that fails
changes nothing more. One process of a service copies; a lock keeps those of other services out meanwhile.
"""

import asyncio
import hashlib
import json
import logging
import re
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from models.card import NAME_PATTERN, VERSION_PATTERN
from models.package import FILE_NAME
from service.durable import synchronise
from service.inference.package_checks import DIGEST_SUFFIX
from service.inference.plans import FILE_NAME as TUNING_FILE
from service.inference.repository import packages
from service.settings import Settings
from service.storage.store import Item, Store, StoreError

logger = logging.getLogger(__name__)
DIGEST_FILE = FILE_NAME + DIGEST_SUFFIX
LISTING_S, REFRESH_S = 20.0, 300.0
"""Longest time for the list of the objects, and for a whole refresh. What was copied until then stays."""
LOCK, INCOMING, STATE = ".lock", ".incoming", ".copied.json"

Package = dict[str, Item]
"""The objects of a package, by file name."""


class Mirror:
    """A store and the folder that is its copy."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.store = store
        self.folder = folder
        self.turn = threading.Lock()
        self.refused: dict[str, tuple[Package, str]] = {}
        """Packages that are not copied again until they change, and why."""
        self.said: str | None = None

    def begin(self) -> None:
        """Copy what is new before the service starts. If that fails, an earlier copy will do.

        Raises:
            StoreError: if there is none.
        """
        reasons = self.update()
        if not any(packages(self.folder)):
            raise StoreError("; ".join(reasons) or f"{self.folder} holds no copy of a package of {self.store.address}")
        if self.said is not None:
            logger.warning("the models are the earlier copy of %s in %s", self.store.address, self.folder)

    async def refreshed(self, only: str | None = None) -> list[str]:
        """As :meth:`update`, in a thread. A process may end while the thread still waits for the store."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[list[str]] = loop.create_future()

        def settle(reasons: list[str] | None, error: Exception | None) -> None:
            if done.done():
                return
            if error is not None:
                done.set_exception(error)
            else:
                done.set_result(reasons or [])

        def work() -> None:
            reasons, failure = None, None
            try:
                reasons = self.update(only)
            except Exception as error:
                failure = error
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(settle, reasons, failure)

        threading.Thread(target=work, name="mirror", daemon=True).start()
        return await done

    def update(self, only: str | None = None) -> list[str]:
        """Copy what is new in the store, of all models or of one. Return and log what was not copied, and why."""
        try:
            with self.turn:
                reasons = self.refresh(only)
        except OSError as error:
            failed = f"{self.folder} can't be written ({error.strerror}): set RETINA_MODEL_CACHE to another folder"
        except StoreError as error:
            failed = str(error)
        else:
            if self.said is not None:
                logger.info("%s can be read again", self.store.address)
            self.said = None
            return reasons
        if failed != self.said:
            logger.warning("no new models are copied: %s", failed)
        self.said = failed
        return [failed]

    def refresh(self, only: str | None) -> list[str]:
        """Make the folder the same as the store; see :meth:`update`.

        Raises:
            OSError: if the folder can't be written.
            StoreError: if the store can't be read, or holds no package at all.
        """
        begun = time.monotonic()
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.alone(begun + LISTING_S):
            items = self.store.items(time.monotonic() + LISTING_S)
            listed = packages_of(items)
            if not listed:  # nobody empties a store that is served: the address is wrong, or a copy is under way
                raise StoreError(f"{self.store.address} holds no model package: expected <model>/<version>/{FILE_NAME}")
            reasons = []
            wanted = {place: package for place, package in listed.items() if only in (None, place.partition("/")[0])}
            if only is None and TUNING_FILE in items:
                wanted[""] = {TUNING_FILE: items[TUNING_FILE]}
            for place, package in wanted.items():
                refused, reason = self.refused.get(place, (None, ""))
                if refused != package or only is not None:
                    reason = self.take(place, package, begun + REFRESH_S)
                if reason:
                    reasons.append(reason)
            for path in list(packages(self.folder)):
                place = path.parent.relative_to(self.folder).as_posix()
                if place not in listed and only in (None, path.parent.parent.name):
                    self.delete(path)
            if only is None and TUNING_FILE not in items:
                (self.folder / TUNING_FILE).unlink(missing_ok=True)
            return reasons

    def take(self, place: str, package: Package, end: float) -> str:
        """Copy a package if it is new or changed. Return why it is refused, or nothing.

        Raises:
            StoreError: if the store can't be read.
        """
        state = self.state()
        new = {name: item for name, item in package.items() if not self.has(state, place, name, item)}
        gone = DIGEST_FILE not in package and (self.folder / place / DIGEST_FILE).exists() and place
        if not new and not gone:
            return ""
        incoming = self.folder / INCOMING
        shutil.rmtree(incoming, ignore_errors=True)  # of a process that was killed
        incoming.mkdir()
        for name, item in new.items():
            self.store.fetch(item, incoming / name, end)
        files = {name: (incoming if name in new else self.folder / place) / name for name in package}
        if (reason := self.mismatch(place, files)) and self.refused.get(place, (None, ""))[0] != package:
            logger.error("not copied: %s", reason)
        if reason:
            self.refused[place] = (package, reason)
            return reason
        self.refused.pop(place, None)
        self.put(place, new, files)
        logger.info("copied %s from %s", place or TUNING_FILE, self.store.address)
        return ""

    def mismatch(self, place: str, files: dict[str, Path]) -> str:
        """Say if a package is not what the digest beside it says."""
        if DIGEST_FILE not in files:
            return ""
        words = files[DIGEST_FILE].read_text(errors="replace").split()
        with files[FILE_NAME].open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        expected = words[0].lower() if words else ""
        if expected == found:
            return ""
        return (
            f"{self.store.address}/{place}/{FILE_NAME} has the SHA-256 {found}, but {DIGEST_FILE} beside it says "
            f"{expected[:64]!r}: upload both again"
        )

    def put(self, place: str, new: Package, files: dict[str, Path]) -> None:
        """Let checked files appear in the folder.

        The earlier digest goes first. So at each moment a package is there that fits the digest beside it, or has none.
        """
        target = self.folder / place
        target.mkdir(parents=True, exist_ok=True)
        if place and (DIGEST_FILE in new or DIGEST_FILE not in files):
            (target / DIGEST_FILE).unlink(missing_ok=True)
        state = self.state()
        for name in sorted(new):  # the package before its digest
            synchronise(files[name])
            files[name].rename(target / name)
            status = (target / name).stat()
            state[f"{place}/{name}"] = [new[name].identity, status.st_size, status.st_mtime_ns]
        synchronise(target)
        draft = self.folder / INCOMING / STATE
        draft.write_text(json.dumps(state))
        synchronise(draft)
        draft.replace(self.folder / STATE)

    def delete(self, path: Path) -> None:
        """Remove a package whose version is no longer in the store."""
        for file in (path, path.with_name(DIGEST_FILE)):
            file.unlink(missing_ok=True)
        with suppress(OSError):  # something else is in it
            path.parent.rmdir()
            path.parent.parent.rmdir()
        logger.info("deleted %s, which is no longer in %s", path.parent, self.store.address)

    def state(self) -> dict[str, list[str | int]]:
        """What was copied: of each file the identity in the store, and size and time of the copy."""
        try:
            content: dict[str, list[str | int]] = json.loads((self.folder / STATE).read_text())
            return content
        except (OSError, ValueError):
            return {}

    def has(self, state: dict[str, list[str | int]], place: str, name: str, item: Item) -> bool:
        try:
            status = (self.folder / place / name).stat()
        except OSError:
            return False
        copied = [item.identity, item.size, status.st_mtime_ns]
        return status.st_size == item.size and state.get(f"{place}/{name}") == copied

    @contextmanager
    def alone(self, end: float) -> Iterator[None]:
        """Keep other processes from copying into the folder.

        Raises:
            StoreError: if one still does when the time is over.
        """
        with (self.folder / LOCK).open("wb") as lock:
            while sys.platform != "win32":
                import fcntl

                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > end:
                        raise StoreError(f"another process has been copying into {self.folder} for long") from None
                    time.sleep(0.1)
            yield


def packages_of(items: dict[str, Item]) -> dict[str, Package]:
    """The packages among the objects of a store, by ``<model>/<version>``. Other names are passed over."""
    found: dict[str, Package] = {}
    for path, item in items.items():
        name, _, rest = path.partition("/")
        version, _, file = rest.partition("/")
        fits = re.fullmatch(NAME_PATTERN, name) and re.fullmatch(VERSION_PATTERN, version)
        if fits and file in (FILE_NAME, DIGEST_FILE):
            found.setdefault(f"{name}/{version}", {})[file] = item
    return {place: package for place, package in sorted(found.items()) if FILE_NAME in package}


def mirror_of(settings: Settings) -> Mirror | None:
    """The local copy that the settings ask for, made or brought up to date; None if the repository is a folder.

    Raises:
        SettingsError: if a package for that kind of store is missing.
        StoreError: if the store can't be read and there is no earlier copy.
    """
    if settings.store is None:
        return None
    mirror = Mirror(Store(settings.store), settings.model_repository)
    mirror.begin()
    return mirror
