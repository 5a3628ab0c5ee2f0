"""What a source gives: its list, and items to read."""

from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple, Protocol

from service.scoring.listing import Listing

Kind = Literal["folder", "manifest", "parquet"]


class Item(NamedTuple):
    """An entry of a source."""

    name: str
    carried: tuple[str | None, ...]
    read: Callable[[], bytes]
    """Reads the bytes of the image. Called once, in a thread, about in the order of the items."""


class Source(Protocol):
    """What is scored, in an order that is the same in every run."""

    kind: Kind
    address: str
    listing: Listing
    reads: int
    """Items to read at once; 0: as many as there are CPUs."""

    def items(self, start: int, stop: int) -> Iterator[Item]:
        """Yield the entries from ``start`` to before ``stop``. Parts that follow each other are asked for in order."""
        ...
