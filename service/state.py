"""The typed state of the running application, for the routes."""

from dataclasses import dataclass

from fastapi import Request

from service.http.arrivals import Arrivals
from service.http.in_flight import InFlight
from service.inference.lifecycle import Lifecycle
from service.inference.predictor import Predictor
from service.inference.repository import Repository
from service.observing.metrics import Metrics
from service.records.kept import Records
from service.security.callers import Access
from service.security.rate_limit import Limiter
from service.settings import Settings
from service.workers.membership import Membership


@dataclass
class State:
    """Created at start, closed at shutdown."""

    settings: Settings
    repository: Repository
    predictor: Predictor
    metrics: Metrics
    lifecycle: Lifecycle | Membership
    """What loads, unloads and lists models: in this process, or by all workers together."""
    access: Access
    limiter: Limiter
    requests: InFlight
    arrivals: Arrivals
    records: Records | None = None
    """None if no prediction records are kept."""
    _ready: bool = False

    @property
    def ready(self) -> bool:
        """Whether the service accepts new predictions."""
        return self._ready

    @ready.setter
    def ready(self, ready: bool) -> None:
        self._ready = ready
        self.metrics.ready.set(ready)


def state_of(request: Request) -> State:
    """The application's state."""
    state: State = request.app.state.service
    return state
