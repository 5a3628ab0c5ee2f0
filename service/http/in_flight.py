"""Prediction requests in flight, by caller: their bodies have arrived, and their answers are not written yet."""

import math
from abc import ABC, abstractmethod
from collections import Counter

from service.http.problems import ProblemError
from service.settings import Settings


class InFlight(ABC):
    """How many requests there are, and the limits for all of them and for those of one caller."""

    def __init__(self, settings: Settings) -> None:
        self.limit = settings.max_requests
        self.share = math.ceil(settings.max_requests * settings.caller_share)

    @abstractmethod
    def total(self) -> int:
        """The requests of all callers."""

    @abstractmethod
    def of(self, caller: str) -> int:
        """The requests of one caller."""

    @abstractmethod
    def enter(self, caller: str) -> None:
        """Check whether there is a place for one more request of a caller, and take it, in one step.

        Raises:
            ProblemError: 503, as :meth:`check`.
        """

    @abstractmethod
    def leave(self, caller: str) -> None:
        """Give back a place that the caller took in this process."""

    def check(self, caller: str) -> None:
        """Check whether there is a place for one more request of a caller.

        Raises:
            ProblemError: 503, if the limit of requests in flight, or of those of the caller, is reached.
        """
        total, own = self.total(), self.of(caller)
        if total >= self.limit:
            raise ProblemError.overload("too-many-requests", f"{total} requests are in flight, which is the limit")
        if own >= self.share:
            raise ProblemError.overload(
                "too-many-requests", f"{own} of your requests are in flight, which is the limit for one caller"
            )


class OwnInFlight(InFlight):
    """The requests of a service of one process."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.callers: Counter[str] = Counter()

    def total(self) -> int:
        """See :meth:`InFlight.total`."""
        return self.callers.total()

    def of(self, caller: str) -> int:
        """See :meth:`InFlight.of`."""
        return self.callers[caller]

    def enter(self, caller: str) -> None:
        """See :meth:`InFlight.enter`."""
        self.check(caller)
        self.callers[caller] += 1

    def leave(self, caller: str) -> None:
        """See :meth:`InFlight.leave`."""
        self.callers[caller] -= 1
        if not self.callers[caller]:
            del self.callers[caller]
