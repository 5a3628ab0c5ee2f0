"""A store of objects: what it holds, and one object of it as a file. By ``fsspec``, which knows many kinds.

Credentials come from the environment, as the store's own library reads them. No text of a library is repeated, because
it may quote them.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.package import PackageError
from service.settings import SettingsError
from service.storage.address import SCHEMES

IDENTITY = ("ETag", "etag", "md5Hash", "generation", "mtime", "last_modified", "LastModified", "updated", "created")
"""What changes with the content of an object, by the names of the libraries. The first that there is decides."""
OPTIONS: dict[str, dict[str, Any]] = {"s3": {"config_kwargs": {"retries": {"total_max_attempts": 2}}}}
"""What a library is asked for beside its defaults. The next scan tries again, so a store that is away is soon told."""
REASONS: dict[type[Exception], str] = {
    FileNotFoundError: "there is no such bucket or object",
    PermissionError: "access is refused: check the credentials in the environment, such as AWS_ACCESS_KEY_ID",
    TimeoutError: "it does not answer in time",
    ConnectionError: "it can't be connected to",
}


class StoreError(PackageError):
    """A store, or an object in it, that can't be read; the text says why."""


@dataclass(frozen=True)
class Item:
    """An object of a store."""

    key: str
    """Its name in the store."""
    size: int
    identity: str
    """It differs whenever the content does."""


class Store:
    """The objects under an address.

    Raises:
        SettingsError: if the package that speaks with such a store is not installed.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        scheme = address.partition("://")[0]
        try:
            import fsspec

            options = OPTIONS.get(scheme, {}) | {"use_listings_cache": False, "skip_instance_cache": True}
            self.files: Any = fsspec.filesystem(scheme, **options)
            self.files.retries = 2  # of s3fs, around those of its library
        except ImportError:
            raise SettingsError(f"RETINA_MODEL_REPOSITORY={address} needs {SCHEMES[scheme]}") from None
        except Exception as error:  # every library has its own
            raise StoreError(f"{address} can't be used: {in_words(error)}") from None
        self.root = str(self.files._strip_protocol(address)).rstrip("/") + "/"

    def items(self, end: float) -> dict[str, Item]:
        """The objects, by their paths under the address.

        Args:
            end: When to give up, on the monotonic clock.

        Raises:
            StoreError: if the store can't be listed.
        """
        found = self.ask("find", end, self.root.rstrip("/"), detail=True)
        return {key.removeprefix(self.root): item_of(key, info) for key, info in found.items()}

    def fetch(self, item: Item, target: Path, end: float) -> None:
        """Copy an object into a file, whole as it was listed.

        Raises:
            StoreError: if it can't be read, or is not as it was listed.
        """
        self.ask("get_file", end, item.key, str(target))
        now = item_of(item.key, self.ask("info", end, item.key))
        if now != item or target.stat().st_size != item.size:
            raise StoreError(f"{self.address}: {self.name(item)} changed while it was copied; the next scan copies it")

    def name(self, item: Item) -> str:
        """The path of an object under the address."""
        return item.key.removeprefix(self.root)

    def ask(self, what: str, end: float, *args: Any, **options: Any) -> Any:
        """Call a method of the library that speaks with the store, until a time at most."""
        left = end - time.monotonic()
        try:
            if left <= 0:
                raise TimeoutError
            if not self.files.async_impl:
                return getattr(self.files, what)(*args, **options)
            from fsspec.asyn import sync

            return sync(self.files.loop, getattr(self.files, f"_{what}"), *args, timeout=left, **options)
        except Exception as error:  # every library has its own
            key = args[0].removeprefix(self.root) if what != "find" else ""
            raise StoreError(f"{self.address} can't be read: {key and f'{key}: '}{in_words(error)}") from None


def item_of(key: str, info: dict[str, Any]) -> Item:
    """An object by what its library says of it."""
    stated = next((str(info[name]) for name in IDENTITY if info.get(name) is not None), "")
    return Item(key, int(info["size"]), stated.strip('"'))


def in_words(error: Exception) -> str:
    """Why a library failed: our words for it, or the class of its exception."""
    kind = next((kind for kind in REASONS if isinstance(error, kind)), None)
    if kind is not None:
        return REASONS[kind]
    if "Credential" in type(error).__name__ or "Token" in type(error).__name__:
        return "there are no usable credentials in the environment, such as AWS_ACCESS_KEY_ID"
    return f"the library of the store says {type(error).__name__}"
