"""Requests and answers of the addresses of records. No SQLAlchemy here, so that a client can import this."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from models.card import Task
from service.http.answers import LabelProbability, ModelIdentity

EXAMPLE_ID = "019ab2f4-6c31-7d52-9a44-2f7f0c6f5e10"
FEEDBACK_EXAMPLE: dict[str, Any] = {"labels": ["drusen"]}
RECORD_EXAMPLE: dict[str, Any] = {
    "id": EXAMPLE_ID,
    "time": "2026-11-24T08:15:30.123456Z",
    "model": {
        "name": "oct",
        "version": "3",
        "digest": "sha256:29cb1516d72180e3e9d02bac01ab122d66bb7c7717854a2df22d7cc9eb3c9620",
    },
    "task": "multi-class",
    "input_digest": "sha256:5d0f2c0e7b1fd6e4f0b9a1a8de1c6f6d1d1f4ac03b0b8a9d7fd0c2d8b1e7a642",
    "frame": 1,
    "label": "choroidal neovascularization",
    "probabilities": [
        {"label": "choroidal neovascularization", "probability": 0.9946},
        {"label": "diabetic macular edema", "probability": 0.0034},
        {"label": "drusen", "probability": 0.0018},
        {"label": "normal", "probability": 0.0002},
    ],
    "style_shift": 0.42,
    "caller": "clinic-a",
    "feedback": [{"time": "2026-11-25T10:02:11.000000Z", "labels": ["drusen"], "caller": "clinic-a"}],
}


class FeedbackRequest(BaseModel):
    """The confirmed labels of a predicted image. There is no comment field: people would write patient data into it."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [FEEDBACK_EXAMPLE]})

    labels: list[str] = Field(
        max_length=10_000,
        description="The confirmed labels, among those of the model: one label; for a multi-label model all that are "
        "present, possibly none.",
    )


class FeedbackEntry(BaseModel):
    """Confirmed labels, and when they were sent."""

    time: datetime
    labels: list[str]
    caller: str | None = Field(description="Name of the key or token that sent it, if authentication is on.")


class PredictionRecord(BaseModel):
    """The record of one prediction."""

    model_config = ConfigDict(protected_namespaces=(), json_schema_extra={"examples": [RECORD_EXAMPLE]})

    id: UUID
    time: datetime = Field(description="Time of the answer, in UTC.")
    model: ModelIdentity
    task: Task
    input_digest: str = Field(description="SHA-256 of the file, or of the bytes of the tensor, as it was sent.")
    frame: int | None = Field(description="The DICOM frame or TIFF page; null for requests under /v2.")
    label: str = Field(description="The most probable class.")
    probabilities: list[LabelProbability]
    style_shift: float | None = Field(
        description="How much its style differs from the training images. Null if unknown."
    )
    caller: str | None = Field(description="Name of the key or token of the caller, if authentication is on.")
    feedback: list[FeedbackEntry] = Field(description="Oldest first. The last one counts; the others are history.")


class PredictionPage(BaseModel):
    """Prediction records, newest first."""

    predictions: list[PredictionRecord]
    next: str | None = Field(description="Send it as `cursor` to get older records. Null if there are none.")
