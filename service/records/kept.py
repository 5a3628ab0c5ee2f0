"""The records of a service, and those of a request on their way to the database."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from service.http.problems import ProblemError
from service.records.errors import UnavailableError

if TYPE_CHECKING:  # this imports SQLAlchemy, which is slow and not needed without records
    from service.records.recorder import Recorder
    from service.records.store import Store

HEADER = "X-Record-ID"


class Records:
    """The records of a service that keeps them."""

    def __init__(self, store: "Store", recorder: "Recorder", *, required: bool, timeout_s: float) -> None:
        self.store = store
        self.recorder = recorder
        self.required = required
        self.timeout_s = timeout_s

    async def committed(self, future: asyncio.Future[None], record_ids: Sequence[UUID] = ()) -> None:
        """Wait for a commit. If the caller must give up, the records are taken back, since no answer is sent.

        Raises:
            ProblemError: 503 if it fails or takes too long.
        """
        try:
            async with asyncio.timeout(self.timeout_s):
                await future
        except asyncio.CancelledError:
            if was_committed(future):  # otherwise the recorder sees that the future is cancelled
                self.recorder.withdraw(record_ids)
            raise
        except TimeoutError:
            if was_committed(future):  # in the last moment
                return
            raise unavailable(f"The database did not answer within {self.timeout_s:g} s") from None
        except UnavailableError:
            raise unavailable("The database of prediction records can't be reached") from None

    async def settled(self) -> None:
        """Wait until all records added so far are committed, so that a reader finds them.

        Raises:
            ProblemError: 503 if that fails or takes too long.
        """
        future = self.recorder.add([], wait=True)
        assert future is not None
        await self.committed(future)


class Kept(NamedTuple):
    """The records of a request on their way to the database. Their ids are None if no records are kept."""

    ids: list[UUID | None]
    records: Records | None = None
    future: asyncio.Future[None] | None = None

    def headers(self) -> dict[str, str]:
        """The ids as a header, for an answer whose body has no place for them."""
        return {HEADER: ",".join(map(str, self.ids))} if self.records is not None else {}

    def parameters(self) -> dict[str, str]:
        """The ids as one text, because parameters of the Open Inference Protocol can't be lists."""
        return {"record_ids": ",".join(map(str, self.ids))} if self.records is not None else {}

    async def committed(self) -> None:
        """Return when the answer may be sent: at once, or, if records are required, after their commit.

        Raises:
            ProblemError: 503 if they can't be committed.
        """
        if self.records is not None and self.future is not None:
            await self.records.committed(self.future, [entry for entry in self.ids if entry is not None])


def was_committed(future: asyncio.Future[None]) -> bool:
    return future.done() and not future.cancelled() and future.exception() is None


def unavailable(detail: str) -> ProblemError:
    return ProblemError.overload("records-unavailable", f"{detail}, and no answer leaves without its record")
