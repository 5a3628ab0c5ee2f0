"""Things that wait, taken in turns: one of each caller after another."""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Turns(Generic[T]):
    """Waiting things by caller. Within a caller the first with the smallest ``rank`` comes first."""

    def __init__(self, rank: Callable[[T], float] | None = None) -> None:
        self.rank = rank
        self.waiting: OrderedDict[str, list[T]] = OrderedDict()
        self.count = 0

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[T]:
        for things in self.waiting.values():
            yield from things

    def of(self, caller: str) -> int:
        """How many things of a caller wait."""
        return len(self.waiting.get(caller, ()))

    def add(self, caller: str, thing: T) -> None:
        """Let a thing wait. A caller that had none comes last."""
        self.waiting.setdefault(caller, []).append(thing)
        self.count += 1

    def take(self, may: Callable[[str, T], bool] | None = None) -> T | None:
        """Take the next thing, which its caller's turn passes on with; None if there is none that ``may`` allow."""
        for caller, things in self.waiting.items():
            thing = min(things, key=self.rank) if self.rank else things[0]
            if may is None or may(caller, thing):
                self.remove(caller, thing)
                if caller in self.waiting:
                    self.waiting.move_to_end(caller)
                return thing
        return None

    def remove(self, caller: str, thing: T) -> None:
        """Take a thing out, if it still waits."""
        things = self.waiting.get(caller, [])
        for index, other in enumerate(things):
            if other is thing:
                del things[index]
                self.count -= 1
                if not things:
                    del self.waiting[caller]
                return
