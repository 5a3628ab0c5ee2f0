"""The page under a prefix: its scripts ask for addresses under it, and its links stay under it."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from service.settings import SHIPPED_REPOSITORY
from tests.service.process import running
from tests.service.proxy import PREFIX, proxy


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    """A service behind a proxy that answers nothing outside the prefix."""
    with (
        running(SHIPPED_REPOSITORY, RETINA_PROVIDER="cpu", RETINA_ROOT_PATH=PREFIX) as (_, address, _),
        proxy(address, strip=True) as outside,
    ):
        yield outside + PREFIX


def test_classifies_a_demo_image_and_shows_the_models(page: Page) -> None:
    page.get_by_role("button", name="Try the demo image of oct").click()
    expect(page.get_by_role("heading", name="oct.jpeg")).to_be_visible()
    page.get_by_role("navigation", name="Views").get_by_role("link", name="Models").click()
    expect(page).to_have_url(f"{page.url.split(PREFIX)[0]}{PREFIX}/models")
    expect(page.get_by_role("table").first).to_be_visible()
    page.reload()
    expect(page.get_by_role("table").first).to_be_visible()
    page.get_by_role("link", name="Classify").click()
    expect(page).to_have_url(f"{page.url.split(PREFIX)[0]}{PREFIX}/")


def test_the_status_is_read_under_the_prefix(page: Page) -> None:
    page.get_by_role("navigation", name="Views").get_by_role("link", name="Status").click()
    expect(page).to_have_url(f"{page.url.split(PREFIX)[0]}{PREFIX}/status")
    expect(page.get_by_role("region", name="oct, version 3")).to_be_visible()
    page.reload()
    expect(page.get_by_role("region", name="oct, version 3")).to_be_visible()
    assert page.get_by_role("link", name="Prometheus text").get_attribute("href") == f"{PREFIX}/metrics"
