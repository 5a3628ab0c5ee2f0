"""A typed client of the service, blocking and asynchronous. Needs the ``client`` extra (httpx), and no ONNX Runtime.

with Client("http://localhost:8000") as client:
    answer = client.predict("oct", Path("scan.jpeg"), weights="summary")
    print(answer.predictions[0].label, answer.predictions[0].probability)
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self, TypeVar
from urllib.parse import quote
from uuid import UUID

import httpx
from pydantic import BaseModel, ValidationError

from models.card import Card
from service.file_names import readable
from service.http.answers import ModelEntry, ModelList, PredictionAnswer, Weights
from service.http.problems import ProblemDocument
from service.records.messages import FeedbackRequest, PredictionRecord

TIMEOUT_S = 60.0
RETRIES = 3
LONGEST_WAIT_S = 10.0
DEFAULT_WAIT_S = 1.0
BUSY = (httpx.codes.SERVICE_UNAVAILABLE, httpx.codes.TOO_MANY_REQUESTS)

Image = bytes | Path
"""The content of an image file, or its path."""
A = TypeVar("A", bound=BaseModel)


class ServiceError(RuntimeError):
    """The service answered with an error. ``problem`` is its problem document, if it sent one."""

    def __init__(self, status: int, problem: ProblemDocument | None, text: str) -> None:
        super().__init__(f"{status}: {problem.detail if problem else text}")
        self.status = status
        self.problem = problem


class OverloadedError(ServiceError):
    """Every attempt failed: the service was overloaded (503), or this caller sent too many requests (429)."""


@dataclass(frozen=True)
class Call:
    """A request to the service."""

    method: str
    path: str
    options: Mapping[str, Any]


def predict_call(
    model: str, images: Image | Sequence[Image], version: str | None, weights: Weights, activation_map: bool
) -> Call:
    address = f"/v1/models/{quote(model, safe='')}"
    if version is not None:
        address += f"/versions/{quote(version, safe='')}"
    options: dict[str, Any] = {"params": {"weights": weights, "activation_map": str(activation_map).lower()}}
    if isinstance(images, bytes):
        options |= {"content": images, "headers": {"Content-Type": "application/octet-stream"}}
    else:
        several = [images] if isinstance(images, Path) else images
        options["files"] = [("file", part(index, image)) for index, image in enumerate(several)]
    return Call("POST", f"{address}/predict", options)


def part(index: int, image: Image) -> tuple[str, bytes]:
    return (readable(image.name), image.read_bytes()) if isinstance(image, Path) else (f"image-{index}", image)


def get_call(path: str) -> Call:
    return Call("GET", path, {})


def card_call(model: str) -> Call:
    return get_call(f"/v1/models/{quote(model, safe='')}/card")


def record_call(record_id: UUID | str) -> Call:
    return get_call(f"/v1/predictions/{quote(str(record_id), safe='')}")


def feedback_call(record_id: UUID | str, labels: Sequence[str]) -> Call:
    if isinstance(labels, str):  # a string is also a sequence of strings
        raise TypeError(f"labels must be a list, such as [{labels!r}]")
    content = FeedbackRequest(labels=list(labels)).model_dump()
    return Call("POST", f"{record_call(record_id).path}/feedback", {"json": content})


def read(kind: type[A], response: httpx.Response) -> A:
    if not response.is_success:
        refuse(response)
    return kind.model_validate_json(response.content)


def refuse(response: httpx.Response) -> NoReturn:
    try:
        problem = ProblemDocument.model_validate_json(response.content)
    except ValidationError:  # for example the error page of a proxy
        problem = None
    kind = OverloadedError if response.status_code in BUSY else ServiceError
    raise kind(response.status_code, problem, response.text[:200])


def wait_s(response: httpx.Response, attempt: int, retries: int) -> float | None:
    """Return the seconds to wait before the next attempt, or None if there is no next attempt."""
    if response.status_code not in BUSY or attempt >= retries:
        return None
    stated = response.headers.get("Retry-After", "")
    return min(float(stated) if stated.isdecimal() else DEFAULT_WAIT_S, LONGEST_WAIT_S)


def bearer(key: str | None) -> Callable[[httpx.Request], httpx.Request] | None:
    """Add the key to each request, but not to one that a redirect sends to another host."""
    if key is None:
        return None

    def sign(request: httpx.Request) -> httpx.Request:
        request.headers["Authorization"] = f"Bearer {key}"
        return request

    return sign


class Client:
    """The blocking client. Threads may share one.

    Args:
        url: Address of the service, such as ``http://localhost:8000``.
        key: An API key, or another bearer token; None if the service asks for none.
        timeout_s: Longest wait for the connection and for each part of the answer, in seconds.
        retries: Number of further attempts after 503 or 429, each after the wait in ``Retry-After``, at most 10 s.
        options: For :class:`httpx.Client`, such as ``headers``, ``verify`` or ``transport``.

    Its methods raise :class:`ServiceError` for an error answer, and :class:`httpx.TransportError` if the service can't
    be reached in time.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        timeout_s: float = TIMEOUT_S,
        retries: int = RETRIES,
        **options: Any,
    ) -> None:
        self.retries = retries
        self.http = httpx.Client(base_url=url, timeout=timeout_s, auth=bearer(key), **options)

    def predict(
        self,
        model: str,
        images: Image | Sequence[Image],
        *,
        version: str | None = None,
        weights: Weights = "full",
        activation_map: bool = False,
    ) -> PredictionAnswer:
        """Classify one or more images. The predictions are in the same order."""
        return read(PredictionAnswer, self.send(predict_call(model, images, version, weights, activation_map)))

    def models(self) -> list[ModelEntry]:
        """List the models that are served."""
        return read(ModelList, self.send(get_call("/v1/models"))).models

    def card(self, model: str) -> Card:
        """Read the card of the default version of a model."""
        return read(Card, self.send(card_call(model)))

    def prediction(self, record_id: UUID | str) -> PredictionRecord:
        """Read the record of a prediction. Its ``record_id`` was in the answer."""
        return read(PredictionRecord, self.send(record_call(record_id)))

    def feedback(self, record_id: UUID | str, labels: Sequence[str]) -> PredictionRecord:
        """Send the confirmed labels of a predicted image. The last feedback counts."""
        return read(PredictionRecord, self.send(feedback_call(record_id, labels)))

    def ready(self) -> bool:
        """Return whether the service accepts predictions."""
        return self.http.get("/v2/health/ready").status_code == httpx.codes.OK

    def send(self, call: Call) -> httpx.Response:
        attempt = 0
        while True:
            response = self.http.request(call.method, call.path, **call.options)
            wait = wait_s(response, attempt, self.retries)
            if wait is None:
                return response
            attempt += 1
            time.sleep(wait)

    def close(self) -> None:
        """Close the connections."""
        self.http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncClient:
    """The asynchronous client, with the methods and errors of :class:`Client`. Use it with ``async with``."""

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        timeout_s: float = TIMEOUT_S,
        retries: int = RETRIES,
        **options: Any,
    ) -> None:
        self.retries = retries
        self.http = httpx.AsyncClient(base_url=url, timeout=timeout_s, auth=bearer(key), **options)

    async def predict(
        self,
        model: str,
        images: Image | Sequence[Image],
        *,
        version: str | None = None,
        weights: Weights = "full",
        activation_map: bool = False,
    ) -> PredictionAnswer:
        """Classify one or more images. The predictions are in the same order."""
        call = await asyncio.to_thread(predict_call, model, images, version, weights, activation_map)
        return read(PredictionAnswer, await self.send(call))

    async def models(self) -> list[ModelEntry]:
        """List the models that are served."""
        return read(ModelList, await self.send(get_call("/v1/models"))).models

    async def card(self, model: str) -> Card:
        """Read the card of the default version of a model."""
        return read(Card, await self.send(card_call(model)))

    async def prediction(self, record_id: UUID | str) -> PredictionRecord:
        """Read the record of a prediction. Its ``record_id`` was in the answer."""
        return read(PredictionRecord, await self.send(record_call(record_id)))

    async def feedback(self, record_id: UUID | str, labels: Sequence[str]) -> PredictionRecord:
        """Send the confirmed labels of a predicted image. The last feedback counts."""
        return read(PredictionRecord, await self.send(feedback_call(record_id, labels)))

    async def ready(self) -> bool:
        """Return whether the service accepts predictions."""
        return (await self.http.get("/v2/health/ready")).status_code == httpx.codes.OK

    async def send(self, call: Call) -> httpx.Response:
        attempt = 0
        while True:
            response = await self.http.request(call.method, call.path, **call.options)
            wait = wait_s(response, attempt, self.retries)
            if wait is None:
                return response
            attempt += 1
            await asyncio.sleep(wait)

    async def aclose(self) -> None:
        """Close the connections."""
        await self.http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
