"""Download a published data file: resumed after an interruption, checked against its MD5, with progress."""

import hashlib
from pathlib import Path

import httpx
from tqdm import tqdm

from training.datasets.medmnist import file_name
from training.datasets.medmnist_releases import RELEASES, SOURCE
from training.errors import TrainingError

CHUNK = 1 << 20


def download(dataset: str, size: int, folder: Path, base_url: str = f"{SOURCE}/files") -> Path:
    """Download a MedMNIST file into ``folder`` and return its path.

    The content is written to ``<name>.part`` and renamed only if the MD5 is right. So a file with the final name is
    complete. A second call continues an interrupted download.

    Raises:
        TrainingError: if the server can't be reached, or if the content is not the published file.
    """
    if dataset not in RELEASES:
        raise TrainingError(f"{dataset!r} can't be downloaded by command: only {', '.join(RELEASES)} can")
    name = file_name(dataset, size)
    target, part = folder / name, folder / f"{name}.part"
    published = RELEASES[dataset].md5[size]
    if target.is_file():
        if md5_of(target) == published:
            return target
        raise TrainingError(f"{target} is there already and is not the published file: move it away first")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        fetch(f"{base_url}/{name}", part)
    except (httpx.HTTPError, OSError) as error:
        done = part.stat().st_size if part.is_file() else 0
        raise TrainingError(
            f"the download of {name} broke off after {done:,} bytes ({error}): call it again to go on from there"
        ) from None
    found = md5_of(part)
    if found != published:
        part.unlink()
        raise TrainingError(f"{name} came with MD5 {found}, published is {published}: it was removed; try again")
    part.rename(target)
    return target


def fetch(url: str, part: Path) -> None:
    start = part.stat().st_size if part.is_file() else 0
    headers = {"Range": f"bytes={start}-"} if start else {}
    with httpx.stream("GET", url, headers=headers, follow_redirects=True, timeout=60) as response:
        if start and response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # the part is already complete; its MD5 decides
        response.raise_for_status()
        resumed = response.status_code == httpx.codes.PARTIAL_CONTENT
        total = int(response.headers.get("Content-Length", 0)) + (start if resumed else 0)
        with (
            part.open("ab" if resumed else "wb") as file,
            tqdm(
                total=total or None, initial=start if resumed else 0, unit="B", unit_scale=True, desc=part.stem
            ) as bar,
        ):
            for chunk in response.iter_bytes(CHUNK):
                file.write(chunk)
                bar.update(len(chunk))


def md5_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()
