"""What the routes call to keep records."""

from collections.abc import Sequence
from functools import partial
from http import HTTPStatus
from typing import NamedTuple

import numpy as np
from fastapi import Request
from numpy.typing import NDArray

from service.http.problems import ProblemError
from service.inference.runtime import Model, Outputs
from service.records.errors import UnavailableError
from service.records.kept import Kept, Records, unavailable
from service.records.record import ModelFacts, Owner, Record, input_digest, new_id, now
from service.state import State, state_of


class Input(NamedTuple):
    """The input of a prediction: a file or a tensor as it was sent, and its frame or page, if there are several."""

    data: bytes | NDArray[np.uint8]
    frame: int | None = None


async def keep(
    state: State, caller: str | None, model: Model, inputs: Sequence[Input], rows: Sequence[Outputs]
) -> Kept:
    """Add a record for each prediction of a request. The answer must wait for :meth:`Kept.committed`.

    Args:
        caller: As of :func:`caller_of`.

    Raises:
        ProblemError: 503 if records are required and the queue is full.
    """
    if state.records is None:
        return Kept([None] * len(rows))
    digests = await state.predictor.decoders.run(caller or "", 0, partial(digest_all, inputs))
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
            style_shift=None if row.style_shift is None else float(row.style_shift),
            caller=caller,
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
    """Name of the key or token of a request, if authentication is on."""
    name: str | None = request.state.caller
    return name


def owner_of(request: Request) -> Owner | None:
    """Whose records the caller of a request sees: its own.

    None means all of them: for the scope admin, and where nobody has a key.
    """
    if "admin" in request.state.scopes or not state_of(request).access.has_sources:
        return None
    return Owner(caller_of(request))


def records_of(state: State) -> Records:
    """Return the records of the service.

    Raises:
        ProblemError: 404 if it keeps none.
    """
    if state.records is None:
        raise ProblemError(
            HTTPStatus.NOT_FOUND, "records-off", "This service keeps no prediction records: see RETINA_RECORDS."
        )
    return state.records
