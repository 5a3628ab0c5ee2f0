"""The address of a model repository in a store of objects, such as ``s3://bucket/models``."""

import hashlib
import os
import re
from pathlib import Path

SCHEMES = {
    "s3": "s3fs: pip install 'retina-srm[s3]'",
    "gs": "gcsfs: pip install gcsfs",
    "az": "adlfs: pip install adlfs",
    "memory": "fsspec: pip install fsspec",
}
"""What can list a folder and say which object changed, with the package that speaks it. ``memory`` is for tests."""


def is_address(text: str) -> bool:
    """Whether a repository is named by an address and not by a folder."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", text) is not None


def checked(address: str) -> str:
    """Return an address without slashes at its end.

    Raises:
        ValueError: if the service can't copy from it, or if it may hold a password. The text does not quote it.
    """
    scheme, _, place = address.partition("://")
    if scheme not in SCHEMES:
        raise ValueError(
            f"RETINA_MODEL_REPOSITORY is a folder, or an address that begins with s3://, gs:// or az://, not {scheme}://"
        )
    if re.search(r"[@?#]", place):
        raise ValueError(
            "RETINA_MODEL_REPOSITORY may hold no password or token, so no '@', '?' and '#': give the credentials by "
            "the store's own variables, such as AWS_ACCESS_KEY_ID"
        )
    place = place.rstrip("/")
    if not place.partition("/")[0]:
        raise ValueError(f"RETINA_MODEL_REPOSITORY={address} names no bucket: write {scheme}://bucket/folder")
    return f"{scheme}://{place}"


def local_folder(address: str, cache: Path | None) -> Path:
    """Where the copy of an address lies: a folder of its own in the cache (XDG Base Directory Specification)."""
    cache = cache or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "retina-srm" / "models"
    readable = re.sub(r"[^A-Za-z0-9]+", "-", address)[:48].strip("-")
    return cache.absolute() / f"{readable}-{hashlib.sha256(address.encode()).hexdigest()[:8]}"
