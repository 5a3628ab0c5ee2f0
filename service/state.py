"""What the application holds while it runs, typed, for the routes."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from fastapi import Request

from service.lifecycle import Lifecycle
from service.metrics import Metrics
from service.predictor import Predictor
from service.problems import ProblemError
from service.repository import Repository, UnknownModelError
from service.runtime import Model
from service.security.access import Access
from service.security.rate_limit import RateLimiter
from service.settings import Settings

if TYPE_CHECKING:
    from service.records.keeping import Records


@dataclass
class State:
    """Made at start, closed at shutdown."""

    settings: Settings
    repository: Repository
    predictor: Predictor
    metrics: Metrics
    lifecycle: Lifecycle
    access: Access
    limiter: RateLimiter
    records: "Records | None" = None
    """None where no prediction records are kept."""
    requests: int = 0
    """Prediction requests in hand."""
    _ready: bool = False

    @property
    def ready(self) -> bool:
        """Whether new predictions should be sent here."""
        return self._ready

    @ready.setter
    def ready(self, ready: bool) -> None:
        self._ready = ready
        self.metrics.ready.set(ready)


def state_of(request: Request) -> State:
    """The application's state."""
    state: State = request.app.state.service
    return state


def find_model(state: State, name: str, version: str | None) -> Model:
    """Return a served model, or answer 404 with the names that there are."""
    try:
        return state.repository.get(name, version)
    except UnknownModelError as error:
        raise ProblemError(HTTPStatus.NOT_FOUND, "unknown-model", str(error)) from None
