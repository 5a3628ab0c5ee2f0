"""The records of a service, and those of a request on their way to the database."""

import asyncio
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from service.http.problems import ProblemError
from service.records.errors import UnavailableError

if TYPE_CHECKING:  # SQLAlchemy comes with them, which who keeps no records does not wait for
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

    async def committed(self, future: asyncio.Future[None]) -> None:
        """Wait for a commit.

        Raises:
            ProblemError: 503 if it fails or takes too long.
        """
        try:
            async with asyncio.timeout(self.timeout_s):
                await future
        except TimeoutError:
            raise unavailable(f"The database did not answer within {self.timeout_s:g} s") from None
        except UnavailableError:
            raise unavailable("The database of prediction records can't be reached") from None

    async def settled(self) -> None:
        """Wait until every record that was added before is committed, so that a reader finds it.

        Raises:
            ProblemError: 503 if that fails or takes too long.
        """
        future = self.recorder.add([], wait=True)
        assert future is not None
        await self.committed(future)


class Kept(NamedTuple):
    """A request's records on their way to the database: their ids, all None where no records are kept."""

    ids: list[UUID | None]
    records: Records | None = None
    future: asyncio.Future[None] | None = None

    def headers(self) -> dict[str, str]:
        """The ids for an answer whose body has no place for them."""
        return {HEADER: ",".join(map(str, self.ids))} if self.records is not None else {}

    def parameters(self) -> dict[str, str]:
        """The ids as the Open Inference Protocol has room for them, whose parameters can't be lists."""
        return {"record_ids": ",".join(map(str, self.ids))} if self.records is not None else {}

    async def committed(self) -> None:
        """Return when the answer may leave: at once, or, where records are required, when they are safe.

        Raises:
            ProblemError: 503 if they can't be committed.
        """
        if self.records is not None and self.future is not None:
            await self.records.committed(self.future)


def unavailable(detail: str) -> ProblemError:
    return ProblemError.overload("records-unavailable", f"{detail}, and no answer leaves without its record")
