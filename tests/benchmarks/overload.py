"""Whether answers stay quick when far more is asked than can be answered.

    python -m tests.benchmarks.overload [SECONDS]

First the capacity: answers a second of the shipped `oct` model on 8 connections. Then ten times as many connections as
requests may be in flight, each of which asks again as soon as it is answered or refused. Ends with status 1 if the 99th
percentile of the accepted requests is more than twice the time in which a full house is answered, if a status other
than 200 and 503 comes, or if half of the capacity is lost. Linux.
"""

import sys

from service.settings import Settings
from tests.benchmarks._bodies import OCTETS, photograph
from tests.benchmarks._load import Request, measure
from tests.benchmarks._processes import resident_bytes
from tests.service.process import ROOT, running

SECONDS = 10.0
TIMES = 10


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS
    places = Settings().max_requests
    with running(ROOT / "models" / "repository", RETINA_LOG_LEVEL="info") as (process, address, _):
        request = Request(f"{address}/v1/models/oct/predict", photograph(224), OCTETS)
        measure(request, 8, 1)
        usual = measure(request, 8, seconds)
        before = resident_bytes(process.pid)
        crowd = measure(request, TIMES * places, seconds)
        after = resident_bytes(process.pid)
    bound = 2 * 1000 * places / usual.per_second
    print(f"8 connections: {usual.per_second:.0f} answers/s, p50 {usual.p50_ms:.0f} ms, p99 {usual.p99_ms:.0f} ms")
    print(
        f"{TIMES * places} connections: {crowd.per_second:.0f} answers/s, p50 {crowd.p50_ms:.0f} ms, "
        f"p99 {crowd.p99_ms:.0f} ms (at most {bound:.0f}), refused with status: {crowd.failed}"
    )
    print(f"memory {before / 1e6:.0f} MB, then {after / 1e6:.0f} MB")
    kept = crowd.per_second / usual.per_second
    print(f"capacity kept: {kept:.2f}")
    sys.exit(crowd.p99_ms > bound or bool({*crowd.failed} - {503}) or kept < 0.5)


if __name__ == "__main__":
    main()
