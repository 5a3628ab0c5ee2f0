"""Where records meet requests: what the routes call."""

import asyncio
from collections.abc import Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

import numpy as np
from fastapi import Request
from numpy.typing import NDArray

from service.problems import ProblemError
from service.records.errors import UnavailableError
from service.records.record import ModelFacts, Record, input_digest, new_id, now
from service.runtime import Model, Outputs
from service.state import State, state_of

if TYPE_CHECKING:  # SQLAlchemy comes with them, which who keeps no records does not wait for
    from service.records.recorder import Recorder
    from service.records.store import Store


HEADER = "X-Record-ID"


class Input(NamedTuple):
    """What a prediction is about: a file or a tensor as it was sent, and its frame or page, where there are several."""

    data: bytes | NDArray[np.uint8]
    frame: int | None = None


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


async def keep(request: Request, model: Model, inputs: Sequence[Input], rows: Sequence[Outputs]) -> Kept:
    """Add a record for each prediction of a request; its answer must wait for :meth:`Kept.committed`.

    Raises:
        ProblemError: 503 where records are required and the queue is full.
    """
    state = state_of(request)
    if state.records is None:
        return Kept([None] * len(rows))
    digests = await asyncio.get_running_loop().run_in_executor(state.predictor.decoders, digest_all, inputs)
    card, time = model.card, now()
    facts = ModelFacts(model.name, model.version, model.digest, card.task, tuple(card.labels))
    added = [
        Record(
            id=new_id(),
            time=time,
            model=facts,
            input_digest=digest,
            frame=source.frame,
            probabilities=row.probabilities,
            label=card.labels[int(row.probabilities.argmax())],
            style_shift=getattr(row, "style_shift", None),
            caller=caller_of(request),
        )
        for source, digest, row in zip(inputs, digests, rows, strict=True)
    ]
    try:
        future = state.records.recorder.add(added, wait=state.records.required)
    except UnavailableError as error:
        raise unavailable(str(error)) from None
    return Kept([record.id for record in added], state.records, future)


def digest_all(inputs: Sequence[Input]) -> list[str]:
    return [input_digest(source.data) for source in inputs]


def caller_of(request: Request) -> str | None:
    """Name of the key or token that a request was let in with, where they are used."""
    name: str | None = request.state.caller
    return name


def unavailable(detail: str) -> ProblemError:
    return ProblemError.overload("records-unavailable", f"{detail}, and no answer leaves without its record")


def records_of(state: State) -> Records:
    """The records of a service that keeps them.

    Raises:
        ProblemError: 404 where it keeps none.
    """
    if state.records is None:
        raise ProblemError(
            HTTPStatus.NOT_FOUND, "records-off", "This service keeps no prediction records: see RETINA_RECORDS."
        )
    return state.records
