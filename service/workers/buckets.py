"""The rate limit of a caller over all workers."""

from service.security.rate_limit import Limiter
from service.workers.seat import Seat
from service.workers.shared_file import DIGEST, SharedFile, digest

GROUPS, GROUP = 2048, 16
"""A caller's digest says in which group its bucket is. In a full group the bucket that is full soonest is replaced: to
drop a full one changes nothing."""


class SharedLimiter(Limiter):
    """The buckets of all workers, in a file of fixed size.

    A bucket is a digest and one number of 8 bytes, which no kill can split. If a worker is killed while it replaces a
    bucket, the digest may be nobody's, and is replaced in its turn.

    Raises:
        OSError: if there is no room for the file.
    """

    def __init__(self, rate: float, burst: int, seat: Seat) -> None:
        super().__init__(rate, burst)
        number = GROUPS * GROUP
        self.file = SharedFile(seat.folder / "buckets", number * (8 + DIGEST))
        self.full_at = memoryview(self.file.bytes)[: number * 8].cast("d")
        self.digests = memoryview(self.file.bytes)[number * 8 :]

    def draw(self, caller: str, now: float) -> tuple[float, bool]:
        """See :meth:`Limiter.draw`."""
        own = digest(caller)
        first = int.from_bytes(own[:4], "little") % GROUPS * GROUP
        with self.file:
            place, known = self.find(own, first)
            drawn = self.after(self.full_at[place] if known else now, now)
            self.full_at[place] = drawn[0]
            if not known:
                self.digests[place * DIGEST : (place + 1) * DIGEST] = own
            return drawn

    def find(self, own: bytes, first: int) -> tuple[int, bool]:
        """Where in its group a bucket is, or else the one to replace; and whether it was there."""
        digests = bytes(self.digests[first * DIGEST : (first + GROUP) * DIGEST])
        start = digests.find(own)
        if start >= 0 and start % DIGEST == 0:
            return first + start // DIGEST, True
        full_at = self.full_at[first : first + GROUP].tolist()
        return first + full_at.index(min(full_at)), False
