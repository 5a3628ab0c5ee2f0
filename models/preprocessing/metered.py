"""A file in memory whose reader is stopped when it reads without end.

Both Pillow and pydicom walk through a file's parts, chunks, directories, elements or items, in Python: some millions of
empty ones, which fit into any upload, would take minutes and gigabytes.
"""

import io

from models.preprocessing.faults import ImageError

MAX_READS = 300_000
"""A volume of 2,000 frames, each with 40 elements of its own, takes half of it."""


class MeteredBytes(io.BytesIO):
    """Bytes that can be read :data:`MAX_READS` times, at whatever sizes."""

    reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """Read as :class:`io.BytesIO` does.

        Raises:
            ImageError: the next time after the last.
        """
        self.reads += 1
        if self.reads > MAX_READS:
            raise ImageError(
                "unsupported", "The file is in too many parts for an image: save it anew without all its metadata."
            )
        return super().read(size)
