"""gzip and deflate, in both directions. The decompressed size is limited."""

import gzip
import zlib
from http import HTTPStatus

from service.http.problems import ProblemError

# Window bits for zlib: deflate means the zlib format (RFC 9110, section 8.4.1.2), and 16 more select gzip.
WINDOW = {"deflate": zlib.MAX_WBITS, "gzip": zlib.MAX_WBITS + 16}
WORTH_BYTES = 1024
LEVEL = 1  # a higher level hardly shrinks floats further, and delays the answer


def unpack(body: bytes, encoding: str, limit: int) -> bytes:
    """Return a body without its content encoding.

    Raises:
        ProblemError: 415 for an unknown encoding, 413 beyond ``limit`` bytes, 400 for damaged data.
    """
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return body
    if name not in WINDOW:
        raise ProblemError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "content-encoding",
            f"Content-Encoding {encoding[:40]!r} is not read here: send gzip, deflate or none.",
            headers={"Accept-Encoding": ", ".join(WINDOW)},
        )
    unpacker = zlib.decompressobj(WINDOW[name])
    try:
        content = unpacker.decompress(body, limit + 1)
    except zlib.error as error:
        raise damaged(name, str(error)) from None
    if len(content) > limit:
        raise ProblemError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            "body-too-large",
            f"The body exceeds {limit:,} bytes after decompression: send fewer images.",
        )
    if not unpacker.eof or unpacker.unused_data:
        raise damaged(name, "it ends early" if not unpacker.eof else "bytes follow its end")
    return content


def damaged(name: str, reason: str) -> ProblemError:
    return ProblemError(
        HTTPStatus.BAD_REQUEST, "content-encoding", f"The body is not whole {name} data ({reason}): send it again."
    )


def pack(body: bytes, accepted: str) -> tuple[bytes, dict[str, str]]:
    """Return a body in the encoding that ``Accept-Encoding`` prefers, and the headers that say so."""
    names = acceptable(accepted)
    if len(body) < WORTH_BYTES or not names:
        return body, {}
    packed = gzip.compress(body, LEVEL, mtime=0) if names[0] == "gzip" else zlib.compress(body, LEVEL)
    return packed, {"Content-Encoding": names[0], "Vary": "Accept-Encoding"}


def acceptable(accepted: str) -> list[str]:
    """Return the known encodings that a client accepts, its favourite first; gzip if it has no favourite."""
    weights: dict[str, float] = {}
    for part in accepted.lower().split(","):
        name, _, parameter = part.partition(";")
        weight = parameter.strip().removeprefix("q=") or "1"
        if name.strip() in WINDOW:
            weights[name.strip()] = float(weight) if weight.replace(".", "", 1).isdecimal() else 0.0
    return sorted(
        (name for name, weight in weights.items() if weight > 0), key=lambda name: (-weights[name], name != "gzip")
    )
