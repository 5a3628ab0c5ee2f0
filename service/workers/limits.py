"""The limits of a worker: what a caller may have is of the service; memory and queues are of each worker's part."""

import math

from service.http.in_flight import InFlight, OwnInFlight
from service.security.rate_limit import Limiter, RateLimiter
from service.settings import Settings
from service.workers.seat import Seat


def limits_of(settings: Settings, seat: Seat | None) -> tuple[Limiter, InFlight]:
    """The rate limit and the requests in flight, over all workers.

    Raises:
        OSError: if there is no room for what the workers share.
        ValueError: for a seat above 255, or for settings with another number of requests than the other workers'.
    """
    if seat is None:
        return RateLimiter(settings.rate_limit, settings.rate_burst), OwnInFlight(settings)
    from service.workers.buckets import SharedLimiter  # Windows has no file locks of this kind
    from service.workers.in_flight import SharedInFlight

    return SharedLimiter(settings.rate_limit, settings.rate_burst, seat), SharedInFlight(settings, seat)


def clear(settings: Settings, seat: Seat) -> None:
    """Remove the requests in flight of a worker that has ended, before another one takes its seat.

    Raises:
        OSError: if there is no room for what the workers share.
        ValueError: for a seat above 255, or for settings with another number of requests.
    """
    from service.workers.in_flight import SharedInFlight

    SharedInFlight(settings, seat)


def settings_of(settings: Settings, seat: Seat | None) -> Settings:
    """The settings of a worker. Its limits of memory and of the queue are its part of the service's, rounded up.

    A part never becomes so small that the largest allowed request of one caller doesn't fit, if it fits the whole.
    """
    if seat is None:
        return settings
    share = settings.caller_share
    least_bytes = math.ceil(settings.max_body_bytes / share)
    least_images = math.floor((settings.max_files - 1) / share) + 1

    def part(whole: int, least: int = 1) -> int:
        return min(max(math.ceil(whole / seat.count), least), whole)

    queue_size = part(settings.queue_size, least_images)
    while math.ceil(queue_size * share) < settings.max_files:  # a quotient that was rounded down
        queue_size += 1
    return settings.model_copy(
        update={
            "max_upload_bytes": part(settings.max_upload_bytes, least_bytes),
            "max_decode_bytes": part(settings.max_decode_bytes),
            "queue_size": queue_size,
        }
    )
