"""The program of a process that decodes codestreams for :mod:`models.preprocessing.contained`, one after another.

At its top it imports only the standard library. It writes a line of JSON and then bytes, never a pickle: hostile bytes
that have taken over a decoder must not reach further than its process.
"""

import io
import json
import os
import signal
import sys
from typing import Any

MEMORY_LIMIT = 4 << 30
"""Limit on the address space, in bytes."""
NICE = 5
"""Answering comes before decoding what may run away."""


def decode(request: dict[str, Any], codestream: bytes) -> tuple[dict[str, Any], bytes]:
    """Decode one codestream, and describe its pixels."""
    codec = request["codec"]
    if codec == "jpeg-ls":
        from jpeg_ls import decode_pixel_data

        limit_time(request)
        pixels, properties = decode_pixel_data(codestream)
        return {"planes": properties["components"] > 1 and properties["interleave_mode"] == 0}, pixels
    if codec == "libjpeg":
        from libjpeg.utils import decode_pixel_data as decode_jpeg

        limit_time(request)
        return {"planes": False}, bytes(decode_jpeg(codestream, version=2))
    if codec == "lossless-colour":
        return lossless_colour(request, codestream)
    from pydicom.encaps import encapsulate
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import UID

    decoder = get_decoder(UID(request["syntax"]))
    limit_time(request)
    frame = encapsulate([codestream])
    found, properties = decoder.as_array(frame, index=0, decoding_plugin=request["plugin"], **request["options"])
    about = {"dtype": found.dtype.str, "shape": found.shape, "colours": str(properties["photometric_interpretation"])}
    return about, found.tobytes()


def lossless_colour(request: dict[str, Any], codestream: bytes) -> tuple[dict[str, Any], bytes]:
    """Decode an 8-bit lossless colour JPEG.

    Its colours are stored unconverted, and libjpeg-turbo refuses to convert them.
    """
    import numpy as np
    from PIL import Image

    limit_time(request)
    image = Image.open(io.BytesIO(codestream), formats=("JPEG",))
    try:
        pixels = np.asarray(image)
    except OSError:  # a marker in the codestream says YCbCr
        image = Image.open(io.BytesIO(codestream), formats=("JPEG",))
        image.draft("YCbCr", image.size)
        pixels = np.asarray(image)
    return {"dtype": pixels.dtype.str, "shape": pixels.shape, "colours": "RGB"}, pixels.tobytes()


def limit_time(request: dict[str, Any]) -> None:
    """End this process after the limit of the request. No handler is set, so that C code is ended too."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, request["limit_s"])


def limit_memory() -> None:
    try:
        import resource
    except ImportError:  # Windows
        return
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.nice(NICE)


def main() -> None:
    """Answer requests of standard input until it ends: a line of JSON, then the codestream of ``length`` bytes.

    The argument is where to import from, a JSON list.
    """
    limit_memory()
    sys.path[:] = json.loads(sys.argv[1])
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    requests = sys.stdin.buffer
    while line := requests.readline():
        request = json.loads(line)
        codestream = requests.read(request["length"])
        try:
            about, pixels = decode(request, codestream)
            about = about | {"length": len(pixels)}
        except ImportError as error:
            about, pixels = {"length": 0, "missing": str(error.name)[:100]}, b""
        except Exception:  # hostile bytes make a decoder raise many kinds of errors
            about, pixels = {"length": 0}, b""
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, 0)
        answers.write(json.dumps(about).encode() + b"\n")
        answers.write(pixels)
        answers.flush()


if __name__ == "__main__":
    main()
