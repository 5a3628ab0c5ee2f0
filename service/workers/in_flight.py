"""Requests in flight over all workers."""

from service.http.in_flight import InFlight
from service.settings import Settings
from service.workers.seat import Seat
from service.workers.shared_file import DIGEST, SharedFile, digest

MOST_SEATS = 255


class SharedInFlight(InFlight):
    """The requests of all workers, in a file with one place for each of the ``RETINA_MAX_REQUESTS``.

    A place is a byte that says which worker holds it, and the digest of the caller. There is no sum that could be
    wrong: a place is counted while its byte is not zero. A place of zero bytes has no caller, so the digest is written
    after that byte, and removed before it. What a worker leaves behind when it is killed are places with its own
    number, and nothing else.

    A worker that takes a seat removes what the last one on this seat left.

    Raises:
        OSError: if there is no room for the file.
        ValueError: for a seat above 255, or if the file was made for another number of requests.
    """

    def __init__(self, settings: Settings, seat: Seat) -> None:
        super().__init__(settings)
        if seat.index >= MOST_SEATS:
            raise ValueError(f"at most {MOST_SEATS} workers can share their limits")
        self.mark = seat.index + 1
        self.held: dict[str, list[int]] = {}
        """The places of this process, by caller."""
        self.file = SharedFile(seat.folder / "in-flight", self.limit * (1 + DIGEST))
        self.clear(seat.index)

    def total(self) -> int:
        """See :meth:`InFlight.total`."""
        return self.limit - self.file.bytes[: self.limit].count(0)

    def of(self, caller: str) -> int:
        """See :meth:`InFlight.of`."""
        return self.file.bytes[self.limit :].count(digest(caller))

    def enter(self, caller: str) -> None:
        """See :meth:`InFlight.enter`."""
        with self.file:
            self.check(caller)
            place = self.file.bytes.find(b"\0", 0, self.limit)
            self.file.bytes[place] = self.mark
            self.write(place, digest(caller))
        self.held.setdefault(caller, []).append(place)

    def leave(self, caller: str) -> None:
        """See :meth:`InFlight.leave`."""
        places = self.held[caller]
        place = places.pop()
        if not places:
            del self.held[caller]
        with self.file:
            self.free(place)

    def clear(self, index: int) -> None:
        """Remove the requests of the worker on a seat. It must have ended, and no other may have the seat yet."""
        with self.file:
            for place, mark in enumerate(self.file.bytes[: self.limit]):
                if mark == index + 1:
                    self.free(place)

    def free(self, place: int) -> None:
        self.write(place, bytes(DIGEST))
        self.file.bytes[place] = 0

    def write(self, place: int, content: bytes) -> None:
        start = self.limit + place * DIGEST
        self.file.bytes[start : start + DIGEST] = content
