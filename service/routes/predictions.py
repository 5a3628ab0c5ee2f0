"""``/v1/predictions/{id}``: the record of a prediction, and feedback on it."""

from http import HTTPStatus
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from service.http.problems import ProblemDocument, ProblemError
from service.http.uploads import read_message
from service.records.errors import RecordsError, UnavailableError
from service.records.keeping import caller_of, records_of
from service.records.kept import Records
from service.records.messages import FEEDBACK_EXAMPLE, FeedbackRequest, PredictionRecord
from service.records.record import now
from service.state import state_of

router = APIRouter(tags=["prediction records"])

PROBLEMS: dict[int | str, dict[str, Any]] = {
    404: {"model": ProblemDocument, "description": "No such record, or no records are kept."},
    422: {"model": ProblemDocument, "description": "Invalid id, or labels that the model does not have."},
    503: {"model": ProblemDocument, "description": "The database can't be reached: try again."},
}
TOO_MUCH: dict[int | str, dict[str, Any]] = {
    408: {"model": ProblemDocument, "description": "The body did not arrive in time."},
    413: {"model": ProblemDocument, "description": "Too many bytes."},
}
BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": FeedbackRequest.model_json_schema(), "example": FEEDBACK_EXAMPLE},
        },
    }
}


@router.get("/v1/predictions/{id}", responses=PROBLEMS)
async def prediction(id: UUID, request: Request) -> PredictionRecord:
    """Read the record of a prediction, with the feedback on it."""
    return await read(records_of(state_of(request)), id)


@router.post(
    "/v1/predictions/{id}/feedback", status_code=HTTPStatus.CREATED, responses=PROBLEMS | TOO_MUCH, openapi_extra=BODY
)
async def feedback(id: UUID, request: Request) -> PredictionRecord:
    """Send the confirmed labels of a predicted image.

    To correct them, send another feedback. The last one counts; all are kept.
    """
    state = state_of(request)
    records, told = records_of(state), parse(await read_message(request, state))
    check(told.labels, await read(records, id))
    try:
        added = await run_in_threadpool(records.store.add_feedback, id, now(), told.labels, caller_of(request))
    except (UnavailableError, RecordsError):
        raise unreachable() from None
    if not added:
        raise unknown(id)
    return await read(records, id)


async def read(records: Records, record_id: UUID) -> PredictionRecord:
    try:
        await records.settled()
        found = await run_in_threadpool(records.store.read, record_id)
    except (UnavailableError, RecordsError):
        raise unreachable() from None
    if found is None:
        raise unknown(record_id)
    return found


def parse(body: bytes) -> FeedbackRequest:
    try:
        return FeedbackRequest.model_validate_json(body)
    except ValidationError as error:
        # The values are not repeated, because unexpected values may be patient data.
        faults = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'body'}: {e['msg']}" for e in error.errors()[:3])
        raise ProblemError(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "invalid-feedback",
            f'The feedback can\'t be used ({faults[:500]}): send {{"labels": [...]}} and nothing else.',
        ) from None


def check(labels: list[str], record: PredictionRecord) -> None:
    """Refuse labels that the model of the record does not have, and a wrong number of labels."""
    known = [entry.label for entry in record.probabilities]
    several = record.task == "multi-label"
    if not set(labels) <= set(known):
        shown = ", ".join(known[:20]) + (", ..." if len(known) > 20 else "")
        problem = f"A label is not one of the model's: {record.model.name} has {shown}"
    elif len(set(labels)) < len(labels):
        problem = "A label is named twice: name each once"
    elif not several and len(labels) != 1:
        problem = f"An image has one label for {record.model.name}, and {len(labels)} came: send one"
    else:
        return
    raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-feedback", f"{problem}.")


def unknown(record_id: UUID) -> ProblemError:
    return ProblemError(
        HTTPStatus.NOT_FOUND,
        "unknown-record",
        f"There is no prediction record {record_id}: its id is wrong, or it was deleted at the end of its retention.",
    )


def unreachable() -> ProblemError:
    return ProblemError.overload("records-unavailable", "The database of prediction records can't be reached")
