"""A file in memory that limits how often it is read.

Pillow and pydicom read the parts of a file (chunks, directories, elements, items) one by one in Python. An upload can
hold millions of empty parts, and reading them would take minutes and gigabytes.
"""

import io

from models.preprocessing.faults import ImageError

MAX_READS = 300_000
"""A volume of 2,000 frames with 40 elements each needs half of this limit."""


class MeteredBytes(io.BytesIO):
    """Bytes that can be read :data:`MAX_READS` times, in pieces of any size."""

    reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """Read as :class:`io.BytesIO` does.

        Raises:
            ImageError: if the file was already read :data:`MAX_READS` times.
        """
        self.reads += 1
        if self.reads > MAX_READS:
            raise ImageError(
                "unsupported", "The file has too many parts for an image: save it again without its metadata."
            )
        return super().read(size)
