"""Files for browsers, read and compressed once, and revalidated by their tag.

A browser keeps a file and asks with its tag whether it is still the same (``no-cache``). So the files of two versions
of the service are never mixed, and an unchanged file is not sent again.
"""

import gzip
import hashlib
import mimetypes
import os
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from service.http.compression import WORTH_BYTES, acceptable

WORTH = 0.9
"""The packed file is kept if it has less than this part of the size."""


class Prepared(NamedTuple):
    """The content of a file, and what is answered with it."""

    media_type: str
    tag: str
    plain: bytes
    packed: bytes | None
    """The content as gzip, or None if that is hardly smaller."""


def prepare(content: bytes, media_type: str) -> Prepared:
    """Compress a file as far as possible, since it is done once, and make its tag from its content."""
    packed = gzip.compress(content, 9, mtime=0) if len(content) >= WORTH_BYTES else content
    small = packed if len(packed) < WORTH * len(content) else None
    return Prepared(media_type, hashlib.sha256(content).hexdigest()[:32], content, small)


def answer(file: Prepared, headers: Headers) -> Response:
    """Answer a request that has these header fields: the file, or 304 if the client has it already."""
    packed = file.packed is not None and "gzip" in acceptable(headers.get("Accept-Encoding", ""))
    # A strong tag names bytes, so the packed form has another one.
    fields = {"ETag": f'"{file.tag}-gzip"' if packed else f'"{file.tag}"', "Cache-Control": "no-cache"}
    if file.packed is not None:
        fields["Vary"] = "Accept-Encoding"
    known = [tag.strip().removeprefix("W/") for tag in headers.get("If-None-Match", "").split(",")]
    if "*" in known or fields["ETag"] in known:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=fields)
    if packed:
        fields["Content-Encoding"] = "gzip"
    return Response(file.packed if packed else file.plain, headers=fields, media_type=file.media_type)


class PreparedFiles(StaticFiles):
    """A folder of files. Each is prepared when it is first asked for, and again when it changes."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory=directory)
        self.prepared: dict[str, tuple[tuple[int, int], Prepared]] = {}

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        """Find a file, in a thread, and prepare it there."""
        full_path, status = super().lookup_path(path)
        if status is not None and Path(full_path).is_file():
            state = (status.st_mtime_ns, status.st_size)
            if full_path not in self.prepared or self.prepared[full_path][0] != state:
                media_type = mimetypes.guess_type(full_path)[0] or "application/octet-stream"
                self.prepared[full_path] = (state, prepare(Path(full_path).read_bytes(), media_type))
        return full_path, status

    def file_response(
        self,
        full_path: str | os.PathLike[str],
        stat_result: os.stat_result,
        scope: Scope,
        status_code: int = HTTPStatus.OK,
    ) -> Response:
        return answer(self.prepared[str(full_path)][1], Headers(scope=scope))
