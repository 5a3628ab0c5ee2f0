"""Settings whose model repository may be the address of a store."""

from pathlib import Path
from typing import Any, Self

from pydantic import ModelWrapValidatorHandler, PrivateAttr, model_validator
from pydantic_settings import BaseSettings

from service.storage.address import checked, is_address, local_folder


class Stored(BaseSettings):
    """``model_repository`` is always a folder. If an address was given, it is the folder of the local copy."""

    _store: str | None = PrivateAttr(default=None)

    @property
    def store(self) -> str | None:
        """The address that the repository is copied from, or None."""
        return self._store

    @model_validator(mode="wrap")
    @classmethod
    def with_local_copy(cls, content: dict[str, Any], handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Put the folder of the local copy in place of an address."""
        named = content.get("model_repository")
        if not isinstance(named, str) or not is_address(named):
            return handler(content)
        address, cache = checked(named), content.get("model_cache")
        settings = handler(content | {"model_repository": local_folder(address, Path(cache) if cache else None)})
        settings._store = address
        return settings
