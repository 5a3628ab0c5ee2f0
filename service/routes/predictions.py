"""``/v1/predictions``: the records of predictions, one by one or as a list, and feedback on them."""

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from models.wording import described
from service.http.openapi import AUDIT
from service.http.problems import ProblemDocument, ProblemError
from service.http.uploads import read_message
from service.records.errors import RecordsError, UnavailableError
from service.records.keeping import caller_of, owner_of, records_of
from service.records.kept import Records
from service.records.messages import FEEDBACK_EXAMPLE, FeedbackRequest, PredictionPage, PredictionRecord
from service.records.record import Owner, now
from service.state import state_of

router = APIRouter(tags=[AUDIT])
PAGE = 100
"""Records of a JSON answer, if the request does not say how many."""

PROBLEMS: dict[int | str, dict[str, Any]] = {
    404: {"model": ProblemDocument, "description": "No such record, or no records are kept."},
    422: {"model": ProblemDocument, "description": "Invalid id, or labels that the model does not have."},
    503: {"model": ProblemDocument, "description": "The database can't be reached: try again."},
}
TOO_MUCH: dict[int | str, dict[str, Any]] = {
    408: {"model": ProblemDocument, "description": "The body did not arrive in time."},
    413: {"model": ProblemDocument, "description": "Too many bytes, before or after decompression."},
    400: {"model": ProblemDocument, "description": "Damaged compression."},
    415: {"model": ProblemDocument, "description": "Unknown content encoding."},
}
BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": FeedbackRequest.model_json_schema(), "example": FEEDBACK_EXAMPLE},
        },
    }
}


LIST_PROBLEMS: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {"text/csv": {"schema": {"type": "string"}}},
        "description": "A page of records as JSON, or all that fit as CSV.",
    },
    404: {"model": ProblemDocument, "description": "No records are kept."},
    422: {"model": ProblemDocument, "description": "Invalid filter or cursor."},
    503: PROBLEMS[503],
}


class ListQuery(BaseModel):
    """Filters, all of which a record must fit. Unknown names are errors."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    model: str | None = Field(default=None, max_length=64, description="Name of the model.")
    version: str | None = Field(default=None, max_length=16, description="Version of the model.")
    label: str | None = Field(default=None, max_length=1000, description="The most probable label.")
    since: datetime | None = Field(
        default=None, alias="from", description="Only records from this time on. Without a zone it is UTC."
    )
    until: datetime | None = Field(
        default=None, alias="to", description="Only records before this time. Without a zone it is UTC."
    )
    feedback: Literal["with", "without"] | None = Field(default=None, description="Only records with or without it.")
    limit: int | None = Field(
        default=None, ge=1, le=1000, description="Most records of the answer. Default: 100 for JSON, all for CSV."
    )
    cursor: str | None = Field(default=None, max_length=200, description="The `next` of the page before.")
    format: Literal["json", "csv"] | None = Field(
        default=None, description="`csv` answers with CSV, as `Accept: text/csv` does."
    )


@router.get("/v1/predictions", response_model=PredictionPage, responses=LIST_PROBLEMS)
async def predictions(query: Annotated[ListQuery, Query()], request: Request) -> Any:
    """List prediction records, newest first.

    A caller sees its own records. A caller with the scope admin sees all.
    """
    from service.records import listing  # it imports SQLAlchemy, which is not needed without records

    records = records_of(state_of(request))
    try:
        after = listing.Cursor.parse(query.cursor) if query.cursor else None
    except ValueError:
        text = "cursor: it is not the `next` of an earlier page: send that, or none."
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-parameter", text) from None
    wanted = listing.Wanted(
        owner=owner_of(request),
        model=query.model,
        version=query.version,
        label=query.label,
        since=utc(query.since),
        until=utc(query.until),
        feedback=query.feedback,
    )
    as_csv = query.format == "csv" or (query.format is None and accepts_csv(request))
    size = query.limit or (None if as_csv else PAGE)
    try:
        await records.settled()
        first = await run_in_threadpool(
            listing.page, records.store, wanted, listing.CHUNK if size is None else size, after
        )
    except (UnavailableError, RecordsError):
        raise unreachable() from None
    if not as_csv:
        return first
    rows = listing.csv_of(records.store, wanted, first, whole=size is None)
    name = {"Content-Disposition": 'attachment; filename="predictions.csv"'}
    return StreamingResponse(rows, headers=name, media_type="text/csv")


def utc(time: datetime | None) -> datetime | None:
    return time.replace(tzinfo=UTC) if time is not None and time.tzinfo is None else time


def accepts_csv(request: Request) -> bool:
    kinds = (kind.partition(";")[0].strip().lower() for kind in request.headers.get("Accept", "").split(","))
    return "text/csv" in kinds


@router.get("/v1/predictions/{id}", responses=PROBLEMS)
async def prediction(id: UUID, request: Request) -> PredictionRecord:
    """Read the record of a prediction, with the feedback on it."""
    return await read(records_of(state_of(request)), id, owner_of(request))


@router.post(
    "/v1/predictions/{id}/feedback", status_code=HTTPStatus.CREATED, responses=PROBLEMS | TOO_MUCH, openapi_extra=BODY
)
async def feedback(id: UUID, request: Request) -> PredictionRecord:
    """Send the confirmed labels of a predicted image.

    To correct them, send another feedback. The last one counts; all are kept.
    """
    state = state_of(request)
    records, told = records_of(state), parse(await read_message(request, state))
    owner = owner_of(request)
    check(told.labels, await read(records, id, owner))
    try:
        added = await run_in_threadpool(records.store.add_feedback, id, now(), told.labels, caller_of(request))
    except (UnavailableError, RecordsError):
        raise unreachable() from None
    if not added:
        raise unknown(id)
    return await read(records, id, owner)


async def read(records: Records, record_id: UUID, owner: Owner | None) -> PredictionRecord:
    try:
        await records.settled()
        found = await run_in_threadpool(records.store.read, record_id, owner)
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
        faults = "; ".join(described(error.errors(), whole="the body")[:3])
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
