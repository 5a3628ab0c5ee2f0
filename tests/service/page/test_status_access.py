"""The view of the service's figures where a key is needed for them, and two versions of a model compared."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, Route, expect

from tests.conftest import ImageMaker
from tests.service.page.accessibility import assert_accessible
from tests.service.process import running

KEY = "the-key"


@pytest.fixture(scope="module")
def service(repository: Path) -> Iterator[str]:
    """A guarded service with ``colour`` in two versions."""
    with running(repository, RETINA_PROVIDER="cpu", RETINA_AUTH="required", RETINA_ADMIN_KEY=KEY) as (_, address, _):
        yield address


@pytest.fixture
def expected_errors() -> list[str]:
    return ["401", "403"]


@pytest.fixture
def unlocked(page: Page, service: str) -> Page:
    page.evaluate("key => sessionStorage.setItem('retina-api-key', key)", KEY)
    page.goto(f"{service}/status")
    page.get_by_role("heading", name="Two versions compared").wait_for()
    return page


def test_without_a_key_it_asks_for_one_once(page: Page, service: str) -> None:
    page.clock.install()
    page.goto(f"{service}/status")
    expect(page.get_by_text("need a key with the scope “metrics”")).to_be_visible()
    expect(page.get_by_label("API key")).to_have_count(1)
    assert_accessible(page)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.clock.fast_forward(20_000)
    page.evaluate("() => fetch('/v2/health/live')")
    assert asked == [f"{service}/v2/health/live"], "a refused key is not sent again"
    page.get_by_label("API key").fill(KEY)
    page.get_by_label("API key").press("Enter")
    expect(page.get_by_role("region", name="colour, version 2")).to_be_visible()
    expect(page.get_by_label("API key")).to_have_count(0)
    # A link can't carry the key, so the page saves the text.
    with page.expect_download() as download:
        page.get_by_role("button", name="Save the Prometheus text").click()
    assert "retina_model_info{" in download.value.path().read_text()


def open_refused(page: Page, service: str, addresses: str) -> None:
    """Open the view with a key that these addresses do not accept for want of a scope."""
    problem = {"title": "Forbidden", "status": 403, "detail": "A scope is missing."}
    page.evaluate("key => sessionStorage.setItem('retina-api-key', key)", KEY)
    page.route(
        addresses,
        lambda route: route.fulfill(status=403, json=problem, content_type="application/problem+json"),
    )
    page.goto(f"{service}/status")


def test_a_key_without_the_scope(page: Page, service: str) -> None:
    """The refusal is made up; the rest of the service answers with its key."""
    open_refused(page, service, "**/metrics")
    expect(page.get_by_role("alert")).to_contain_text("doesn't allow to read the metrics")
    expect(page.get_by_text("The key was not accepted")).to_have_count(0)

    def accept(route: Route) -> None:
        """The new key stands for one that may read all. The page tries the old one again all the time."""
        if route.request.headers.get("authorization") == "Bearer another":
            route.continue_(headers=route.request.headers | {"authorization": f"Bearer {KEY}"})
        else:
            route.fallback()

    page.route("**/*", accept)
    page.get_by_label("API key").fill("another")
    page.get_by_label("API key").press("Enter")
    expect(page.get_by_role("region", name="colour, version 2")).to_be_visible()


def test_a_key_for_the_metrics_alone_shows_what_they_hold(page: Page, service: str) -> None:
    """The refusal is made up; the metrics are the service's own."""
    open_refused(page, service, "**/v1/**")
    section = page.get_by_role("region", name="colour, version 2")
    expect(section).to_contain_text("CPUExecutionProvider")
    expect(section).to_contain_text("the card can't be read: ")
    expect(page.get_by_label("API key")).to_have_count(0)


def test_each_version_has_its_own_times_and_requests_are_of_the_model(
    page: Page, service: str, make_image: ImageMaker
) -> None:
    for _ in range(3):
        address = f"{service}/v1/models/colour/versions/1/predict"
        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "image/jpeg"}
        httpx.post(address, content=make_image(), headers=headers).raise_for_status()
    page.evaluate("key => sessionStorage.setItem('retina-api-key', key)", KEY)
    page.goto(f"{service}/status")
    for version, images in (("1", "3"), ("2", "0")):
        section = page.get_by_role("region", name=f"colour, version {version}")
        expect(section.get_by_text("(default)")).to_have_count(1 if version == "2" else 0)
        for stage, count in (("Decoding", images), ("Inference", images), ("Whole request", "3")):
            cells = section.get_by_role("row").filter(has_text=stage).locator("td")
            expect(cells.first).to_have_text(count)


def leaves(part: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    if not isinstance(part, dict):
        return {path: part}
    return {at: value for name, each in part.items() for at, value in leaves(each, (*path, name)).items()}


def test_two_versions_differ_where_their_cards_differ(unlocked: Page, service: str) -> None:
    address = f"{service}/v1/models/colour/versions"
    first, second = (
        httpx.get(f"{address}/{version}/card", headers={"Authorization": f"Bearer {KEY}"}).json()
        for version in ("1", "2")
    )
    one, two = leaves(first), leaves(second)
    differing = {path for path in one.keys() | two.keys() if one.get(path) != two.get(path)}
    differing -= {("measured", "results"), ("blocks",)}
    table = unlocked.get_by_role("table").filter(has_text="Everything else in the cards that differs")
    rows = table.locator("tr:has(th[scope=row])")
    expect(rows).to_have_count(len(differing))
    assert ("version",) in differing
    expect(rows.filter(has_text="version").first.locator("td")).to_have_text(["1", "2", ""])
    expect(unlocked.get_by_text("The measured results don't differ.")).to_be_visible()
    assert_accessible(unlocked)
    unlocked.get_by_label("A: version").select_option("2")
    expect(unlocked.get_by_text("Nothing differs between the two cards.")).to_be_visible()
    expect(table).to_have_count(0)


def test_figures_and_labels_that_differ(unlocked: Page, service: str) -> None:
    """Version 2's card is made up from version 1's, with known changes."""
    result = {"metric": "accuracy", "value": 0.9, "interval": [0.85, 0.94], "data": "x", "split": "test", "images": 50}
    card = httpx.get(f"{service}/v1/models/colour/versions/1/card", headers={"Authorization": f"Bearer {KEY}"}).json()
    better = result | {"value": 0.925, "interval": [0.88, 0.96]}
    same = result | {"metric": "mcc", "value": 0.5}
    new = result | {"metric": "ece", "value": 0.031, "interval": None}
    one = card | {"measured": card["measured"] | {"results": [result, same]}}
    two = card | {
        "labels": [*card["labels"][:-1], "<b>other</b>"],
        "calibration": card["calibration"] | {"temperature": card["calibration"]["temperature"] - 0.25},
        "measured": card["measured"] | {"results": [better, same, new]},
    }
    unlocked.route("**/colour/versions/1/card", lambda route: route.fulfill(json=one))
    unlocked.route("**/colour/versions/2/card", lambda route: route.fulfill(json=two))
    unlocked.reload()
    figures = unlocked.get_by_role("table").filter(has_text="Measured results that differ").locator("tbody tr")
    expect(figures).to_have_count(2)
    expect(figures.nth(0).locator("td")).to_have_text(
        ["x, test split", "0.900 (0.850 to 0.940)", "0.925 (0.880 to 0.960)", "+0.025"]
    )
    expect(figures.nth(1).locator("td")).to_have_text(["x, test split", "not measured", "0.031", "\N{EN DASH}"])
    rest = unlocked.get_by_role("table").filter(has_text="Everything else").locator("tr:has(th[scope=row])")
    expect(rest).to_have_count(2)
    expect(rest.nth(0).locator("td").nth(1)).to_contain_text("<b>other</b>")
    expect(rest.nth(1).locator("td").nth(2)).to_have_text("\N{MINUS SIGN}0.2500")
