"""Every state of the page: one h1, headings in order, nothing for axe to find, nothing that scrolls sideways."""

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.service.page.accessibility import assert_accessible

Keep = Callable[[str], None]
LOOKS = [("light", 390), ("dark", 3840)]
PHONE = 390


@pytest.fixture(params=LOOKS, ids=[f"{scheme}-{width}" for scheme, width in LOOKS])
def context(browser: Browser, request: pytest.FixtureRequest) -> Iterator[BrowserContext]:
    """Light on a phone, dark on a 4K screen: colours do not depend on the width."""
    scheme, width = request.param
    size = {"width": width, "height": 844 if width == PHONE else 1080}
    context = browser.new_context(viewport=size, color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
    context.set_default_timeout(15_000)
    yield context
    context.close()


@pytest.fixture
def expected_errors() -> list[str]:
    return ["401", "415", "500", "net::ERR"]


def start(page: Page, demo: Path) -> None:
    expect(page.get_by_role("button", name="Try an image that oct is not made for")).to_be_visible()


def loading(page: Page, demo: Path) -> None:
    page.route("**/v1/models", lambda route: None)
    page.reload()
    expect(page.get_by_text("Loading the models")).to_be_visible()


def waiting(page: Page, demo: Path) -> None:
    page.route("**/predict?*", lambda route: None)
    page.set_input_files("#file", [demo / "oct.jpeg", demo / "dr.jpeg", demo / "oct.jpeg"])
    expect(page.get_by_text("Being classified…")).to_be_visible()


def answered(page: Page, demo: Path) -> None:
    page.set_input_files("#file", demo / "oct.jpeg")
    page.wait_for_selector(".outstanding")
    page.get_by_text("Model card: oct").click()
    page.get_by_text("Technical details").click()


def failed(page: Page, demo: Path) -> None:
    page.set_input_files("#file", demo / "NOTICE.md")
    page.locator(".problem summary").click()


def key_asked(page: Page, demo: Path) -> None:
    page.route("**/v1/**", lambda route: route.fulfill(status=401, json={}))
    page.reload()
    page.get_by_label("API key").fill("wrong")
    page.get_by_role("button", name="Use this key").click()
    expect(page.get_by_role("heading", name="The API key was not accepted")).to_be_visible()


def key_changing(page: Page, demo: Path) -> None:
    page.evaluate("sessionStorage.setItem('retina-api-key', 'held')")
    page.reload()
    page.get_by_role("button", name="Change").click()
    expect(page.get_by_label("API key")).to_be_focused()


def down(page: Page, demo: Path) -> None:
    page.route("**/v1/models", lambda route: route.abort())
    page.reload()
    page.locator("main summary").click()


def broken(page: Page, demo: Path) -> None:
    page.route("**/v1/models", lambda route: route.fulfill(status=500, json={"detail": "For programmers."}))
    page.reload()
    page.locator("main summary").click()


def models(page: Page, demo: Path) -> None:
    page.get_by_role("link", name="Models").click()
    expect(page.locator(".technical")).to_have_count(2)  # the cards are read
    for words in ("What ordinary changes of an image cost", "Technical details"):
        for each in page.get_by_text(words).all():
            each.click()
    expect(page.locator(".technical[open]")).to_have_count(2)


def comparison(page: Page, demo: Path) -> None:
    page.set_input_files("#file", [demo / "oct.jpeg", demo / "dr.jpeg"])
    page.locator(".gallery").get_by_role("button", name="Compare with").click()
    page.wait_for_selector(".differences")


STATES = [start, loading, waiting, answered, failed, key_asked, key_changing, down, broken, models, comparison]


@pytest.mark.parametrize("reach", STATES, ids=lambda reach: reach.__name__)
def test_a_state(
    page: Page, demo: Path, reach: Callable[[Page, Path], None], screenshot: Keep, request: pytest.FixtureRequest
) -> None:
    reach(page, demo)
    scheme, width = request.node.callspec.params["context"]
    screenshot(f"state-{reach.__name__}-{scheme}-{width}")
    levels = page.evaluate("[...document.querySelectorAll('h1, h2, h3, h4')].map(each => Number(each.tagName[1]))")
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels)), levels
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert_accessible(page)


def test_a_picture_is_kept_where_a_folder_is_named(
    page: Page, screenshot: Keep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "PAGE_SCREENSHOTS", str(tmp_path / "new"))
    screenshot("kept")
    assert (tmp_path / "new" / "kept.png").stat().st_size > 1000
