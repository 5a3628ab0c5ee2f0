"""The view for whoever runs the service: its figures are those of ``/metrics``, read by a parser that is right."""

import math
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from playwright.sync_api import Page, expect
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from models.card import Card
from service.observing.metrics import SHIFTS
from tests.service.page.accessibility import assert_accessible

Keep = Callable[[str], None]
EVERY_S = 5


def module(page: Page, name: str, expression: str, *values: Any) -> Any:
    """Evaluate an expression with a module of the view, as ``m``, and values, as ``v``."""
    return page.evaluate(
        f"async v => {{ const m = await import('/static/status/{name}.js'); return {expression} }}", values
    )


def samples(text: str) -> list[tuple[str, dict[str, str], float]]:
    found = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return [(sample.name, dict(sample.labels), sample.value) for sample in found]


def classify(service: str, demo: Path, model: str, image: str) -> None:
    body = (demo / image).read_bytes()
    answer = httpx.post(f"{service}/v1/models/{model}/predict", content=body, headers={"Content-Type": "image/jpeg"})
    answer.raise_for_status()


@pytest.fixture
def status(page: Page, service: str) -> Page:
    """The view, with a clock that can be put forward instead of waiting for the next reading."""
    page.clock.install()
    page.goto(f"{service}/status")
    page.get_by_role("heading", name="The service").wait_for()
    return page


def as_parsed(page: Page, text: str) -> list[tuple[str, dict[str, str], float]]:
    found = module(page, "prometheus", "m.parseMetrics(v[0]).map(s => [s.name, s.labels, String(s.value)])", text)
    return [(name, labels, float(value.replace("Infinity", "inf"))) for name, labels, value in found]


def test_the_parser_agrees_with_prometheus_s_own(page: Page, service: str) -> None:
    registry = CollectorRegistry()
    odd = Gauge("odd", "A help with \\ and\na line.", ("a", "b"), registry=registry)
    for number, value in enumerate((math.inf, -math.inf, 1e-300, -0.5, 12345678901234567890.0)):
        odd.labels('q"uote,}', f"\\back\nline {{{number}}} é =").set(value)
    for text in (httpx.get(f"{service}/metrics").text, generate_latest(registry).decode()):
        expected = samples(text)
        assert len(expected) > 4
        assert as_parsed(page, text) == expected
    [(_, labels, value)] = as_parsed(page, 'x{a="1",} NaN 1700000000000\n')
    assert labels == {"a": "1"}
    assert math.isnan(value)


@pytest.mark.parametrize(
    "line",
    [
        "x",
        "x{",
        "1x 2",
        'x{a="1} 2',
        'x{a="1" b="2"} 3',
        'x{a="1",a="2"} 3',
        'x{a="\\t"} 1',
        "x 0x10",
        "x 1 2 3",
        "x 1",
    ],
)
def test_the_parser_refuses_what_is_not_of_the_format(page: Page, line: str) -> None:
    end = "" if line == "x 1" else "\n"  # a text that was cut off
    refused = module(
        page, "prometheus", "(() => { try { m.parseMetrics(v[0]) } catch (e) { return e.name } })()", line + end
    )
    assert refused == "SyntaxError"


def test_quantiles_are_interpolated_within_buckets(page: Page) -> None:
    """Against NumPy's interpolation of the cumulated counts; beyond the last bound there is only that bound."""
    bounds, alone = [0.1, 0.5, 1.0, 2.0], [4, 0, 12, 3]
    counts = np.cumsum(alone)
    histogram = {"bounds": bounds, "counts": [*counts.tolist(), 20], "count": 20}
    expression = "v[1].map(share => m.quantile({...v[0], bounds: [...v[0].bounds, Infinity]}, share))"
    shares = [0.05, 0.2, 0.5, 0.9, 0.95]
    found = module(page, "histogram", expression, histogram, shares)
    expected = np.interp([20 * share for share in shares], [0, 4, 16, 19], [0, 0.1, 1.0, 2.0])
    # The empty bucket up to 0.5 is passed over: what lies above 4 of 20 lies between 0.5 and 1.
    expected[2] = 0.5 + 0.5 * (10 - 4) / 12
    assert [each["value"] for each in found] == pytest.approx(expected.tolist())
    assert [each["beyond"] for each in found] == [False] * 5
    assert module(page, "histogram", expression, histogram, [0.99]) == [{"value": 2.0, "beyond": True}]
    assert module(page, "histogram", "m.quantile({bounds: [1, Infinity], counts: [0, 0], count: 0}, 0.5)") is None


def test_validation_s_shares_are_those_of_the_card(page: Page, service: str) -> None:
    for model in ("oct", "dr"):
        style = Card.model_validate(httpx.get(f"{service}/v1/models/{model}/card").json()).style
        assert style is not None
        expression = "m.sharesOf(v[0], [...v[1], Infinity])"
        found = module(page, "histogram", expression, style.validation_quantiles, list(SHIFTS))
        upto = [style.percentile(bound) / 100 for bound in SHIFTS]
        assert found == pytest.approx(np.diff([0.0, *upto, 1.0]).tolist(), abs=1e-9)


def row(page: Page, region: str, name: str) -> list[str]:
    found = (
        page.get_by_role("region", name=region).get_by_role("row").filter(has=page.get_by_role("rowheader", name=name))
    )
    return found.first.locator("td").all_inner_texts()


def test_the_figures_are_those_of_the_metrics(page: Page, service: str, demo: Path, screenshot: Keep) -> None:
    for _ in range(3):
        classify(service, demo, "oct", "oct.jpeg")
    classify(service, demo, "oct", "dr.jpeg")
    assert httpx.post(f"{service}/v1/models/oct/predict", content=b"x", headers={"Content-Type": "image/png"}).is_error
    page.goto(f"{service}/status")
    section = page.get_by_role("region", name="oct, version 3")
    [entry] = [each for each in httpx.get(f"{service}/v1/models").json()["models"] if each["name"] == "oct"]
    expect(section).to_contain_text(entry["digest"])
    expect(section).to_contain_text(f"{entry['nodes']['CPUExecutionProvider']} nodes of its graph")
    known = samples(httpx.get(f"{service}/metrics").text)

    def of(name: str, **labels: str) -> float:
        return sum(value for series, has, value in known if series == name and labels.items() <= has.items())

    images = int(of("retina_images_total", model="oct"))
    assert images >= 4
    expect(section).to_contain_text(f"{images} images since the start")
    assert row(page, "The service", "fault of the request")[0] == str(
        int(of("retina_requests_total", outcome="client_error"))
    )
    assert row(page, "The service", "queue full")[0] == "0"
    unlike = int(of("retina_style_verdicts_total", model="oct", verdict="unlike"))
    assert unlike >= 1
    expect(section).to_contain_text(f"{unlike} unlike ({100 * unlike / images:.1f} %)")
    count, median, high = row(page, "oct, version 3", "Decoding, of an image")[:3]
    # More than were answered: the image of a page that went away was decoded as well.
    assert count == str(int(of("retina_decode_duration_seconds_count", model="oct")))
    for text in (median, high):
        assert re.fullmatch(r"(> )?[\d.]+ (ms|s)", text)
    bars = section.locator("svg .seen").all()
    heights = [float(bar.get_attribute("height") or "") for bar in bars]
    upto = [of("retina_style_shift_bucket", model="oct", le=str(bound)) for bound in SHIFTS]
    alone = np.diff([0, *upto, images])
    assert heights == pytest.approx((alone / alone.max() * max(heights)).tolist(), abs=1e-6)
    section.get_by_text("The same as a table").click()
    table = section.get_by_role("table").filter(has_text="Images by style shift")
    cells = table.locator("tbody tr td:nth-of-type(2)").all_inner_texts()
    assert [int(text.split("(")[1].rstrip(")")) for text in cells] == alone.astype(int).tolist()
    screenshot("status")


def test_two_readings_at_once_are_no_time_in_between(page: Page, service: str) -> None:
    text = httpx.get(f"{service}/metrics").text
    second = re.sub(r"(?m)^(process_resident_memory_bytes) .*", rf"\1 {7 << 20}", text)
    begin = time.time()
    page.clock.set_fixed_time(begin)
    page.goto(f"{service}/status")
    page.get_by_role("heading", name="The service").wait_for()
    page.route("**/metrics", lambda route: route.fulfill(body=second, content_type="text/plain"))
    come_back = "document.dispatchEvent(new Event('visibilitychange'))"  # as to the tab
    page.evaluate(come_back)
    facts = page.get_by_role("region", name="The service")
    expect(facts).to_contain_text("7 MiB resident")
    expect(facts).not_to_contain_text(" in the last ")
    page.clock.set_fixed_time(begin + 5)
    page.evaluate(come_back)
    expect(facts).to_contain_text(" busy in the last 5 s")


def test_what_happened_of_late_is_the_difference_of_two_readings(page: Page, service: str, demo: Path) -> None:
    classify(service, demo, "oct", "oct.jpeg")
    page.clock.install()
    page.goto(f"{service}/status")
    page.get_by_role("heading", name="oct, version 3").wait_for()
    page.clock.fast_forward(1_000 * EVERY_S)
    expect(page.get_by_role("region", name="The service")).to_contain_text(" busy in the last ", timeout=15_000)
    before = int(row(page, "oct, version 3", "Decoding, of an image")[0])
    for _ in range(2):
        classify(service, demo, "oct", "oct.jpeg")
    cells = (
        page.get_by_role("region", name="oct, version 3").get_by_role("row").filter(has_text="Decoding").locator("td")
    )
    page.clock.fast_forward(1_000 * EVERY_S)
    expect(cells.nth(0)).to_have_text(str(before + 2), timeout=2_000 * EVERY_S)
    expect(cells.nth(3)).to_have_text("2")
    section = page.get_by_role("region", name="oct, version 3")
    section.get_by_text("The same as a table").click()
    late = section.get_by_role("table").filter(has_text="Images by style shift").locator("tbody td:nth-of-type(3)")
    assert sorted(late.all_inner_texts())[-2:] == ["0", "2"], "both images are in one bucket"


def test_readings_of_two_processes_are_not_subtracted(status: Page, service: str) -> None:
    """As behind a load balancer: each reading comes from another process."""
    text = httpx.get(f"{service}/metrics").text
    started = iter(range(1, 100))

    def another(route: Any) -> None:
        of_it = re.sub(r"(?m)^(process_start_time_seconds) .*", rf"\1 {next(started)}", text)
        route.fulfill(body=of_it, content_type="text/plain")

    status.route("**/metrics", another)
    status.reload()
    for _ in range(2):
        with status.expect_response("**/metrics"):
            status.clock.fast_forward(1_000 * EVERY_S)
    expect(status.get_by_role("region", name="The service")).not_to_contain_text("in the last")
    expect(status.get_by_role("columnheader", name="of late").first).to_be_visible()


def of_workers(text: str, started: Sequence[float]) -> str:
    """The metrics of a service with workers of 3 MiB that started at these times."""
    lines = [f"retina_workers {len(started)}", "retina_worker_restarts_total 3"]
    for worker, moment in enumerate(started):
        labels = f'{{worker="{worker}"}}'
        lines.append(f"process_resident_memory_bytes{labels} {3 << 20}")
        lines.append(f"process_start_time_seconds{labels} {moment}")
    return re.sub(r"(?m)^process_.*\n", "", text) + "\n".join(lines) + "\n"


def test_several_workers_are_one_service(status: Page, service: str) -> None:
    """Memory is the sum, and the service is as old as its oldest worker."""
    now = time.time()
    text = of_workers(httpx.get(f"{service}/metrics").text, [now - 60, now - (3 * 3600 + 5.5 * 60)])
    status.route("**/metrics", lambda route: route.fulfill(body=text, content_type="text/plain"))
    status.reload()
    facts = status.get_by_role("region", name="The service")
    expect(facts).to_contain_text("2 workers; the figures are of all of them; 3 restarted")
    expect(facts).to_contain_text("6 MiB resident")
    expect(facts).to_contain_text("3 h 5 min")


def test_readings_before_and_after_a_worker_s_restart_are_not_subtracted(page: Page, service: str) -> None:
    """Its CPU seconds began anew."""
    text = httpx.get(f"{service}/metrics").text
    before, missing, after = (of_workers(text, started) for started in ([90, 80], [90], [90, 95]))
    same = "v.map(text => new m.Reading(text, 0).origin).map((origin, _, all) => all.indexOf(origin))"
    assert module(page, "reading", same, before, missing, after, after) == [0, 1, 2, 2]


def test_a_pause_stops_the_readings(status: Page, service: str) -> None:
    asked: list[str] = []
    status.on("request", lambda request: asked.append(request.url))
    status.get_by_role("button", name="Pause").click()
    expect(status.get_by_text("Paused.")).to_be_visible()
    other = "() => fetch('/v2/health/live')"
    status.evaluate(other)  # a reading that was on its way is here as well
    asked.clear()
    status.clock.fast_forward(3_000 * EVERY_S)
    status.evaluate(other)
    assert asked == [f"{service}/v2/health/live"]
    with status.expect_request("**/metrics"):
        status.get_by_role("button", name="Go on").click()


def test_nothing_is_announced_at_each_reading(status: Page) -> None:
    live = status.locator("main").locator("[aria-live], [role=status], [role=alert], [role=log]")
    expect(live).to_have_count(0)


def test_a_service_that_went_away_keeps_its_last_figures(status: Page, expected_errors: list[str]) -> None:
    expected_errors.append("net::ERR")
    status.route("**/metrics", lambda route: route.abort())
    status.clock.fast_forward(1_000 * EVERY_S)
    expect(status.get_by_role("alert")).to_contain_text("can't be reached", timeout=2_000 * EVERY_S)
    expect(status.get_by_role("region", name="oct, version 3")).to_be_visible()
    with status.expect_request("**/metrics"):
        status.get_by_role("button", name="Try again").click()
    status.unroute("**/metrics")
    expect(status.get_by_role("alert")).to_have_count(0, timeout=2_000 * EVERY_S)


def test_a_text_that_is_not_prometheus_s_is_said_to_be_so(status: Page) -> None:
    status.route("**/metrics", lambda route: route.fulfill(body="<html>\n", content_type="text/html"))
    status.reload()
    expect(status.get_by_role("alert")).to_contain_text("Line 1 of the metrics can't be read")


def test_the_footer_leads_here_and_from_here_to_the_text(page: Page, service: str) -> None:
    page.get_by_role("contentinfo").get_by_role("link", name="Status").click()
    expect(page).to_have_url(f"{service}/status")
    expect(page).to_have_title(re.compile("^Status"))
    page.reload()
    link = page.get_by_role("link", name="Prometheus text")
    assert link.get_attribute("href") == "/metrics"
    expect(page.get_by_role("navigation", name="Views").get_by_role("link", name="Status")).to_have_attribute(
        "aria-current", "page"
    )


@pytest.mark.parametrize("context", ["light", "dark"], indirect=True)
def test_axe_finds_nothing_and_a_phone_needs_no_sideways_scrolling(page: Page, service: str, screenshot: Keep) -> None:
    page.goto(f"{service}/status")
    page.locator(".style-histogram").nth(1).wait_for()
    page.get_by_text("The same as a table").first.click()
    assert_accessible(page)
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    screenshot("status-phone")
