"""Sums that each worker keeps in a file of its seat, and that every worker reads."""

from collections.abc import Iterator

from prometheus_client.mmap_dict import MmapedDict

from service.workers.seat import Seat


class Sums:
    """Pairs of numbers by key, such as a count and a time. A kill loses nothing: the file is mapped into memory.

    Only the thread of the event loop writes them, so there are no locks.
    """

    def __init__(self, seat: Seat) -> None:
        self.folder = seat.folder / "statistics"
        self.folder.mkdir(exist_ok=True)
        self.own = MmapedDict(str(self.folder / f"{seat.index}.db"))

    def add(self, key: str, count: float, seconds: float) -> None:
        """Add to the pair of a key. Both numbers are written at once."""
        counted, passed = self.own.read_value(key)
        self.own.write_value(key, counted + count, passed + seconds)

    def put(self, key: str, count: float, seconds: float) -> None:
        """Set the pair of a key."""
        self.own.write_value(key, count, seconds)

    def clear(self, prefix: str) -> None:
        """Set this worker's pairs of the keys that begin so to 0."""
        for key, _, _ in list(self.own.read_all_values()):
            if key.startswith(prefix):
                self.own.write_value(key, 0.0, 0.0)

    def read(self, prefix: str) -> Iterator[tuple[str, float, float]]:
        """Yield the rest of each key that begins so, with its pair, once for each worker that has it."""
        for path in sorted(self.folder.glob("*.db")):
            if path.stat().st_size:  # a file is empty for a moment when it is made
                for key, count, seconds, _ in MmapedDict.read_all_values_from_file(path):
                    if key.startswith(prefix):
                        yield key.removeprefix(prefix), count, seconds
