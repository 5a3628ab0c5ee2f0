"""What the page's tests wait for before they look at what it has drawn."""

from playwright.sync_api import Page, expect


def wait_for_picture(page: Page) -> None:
    """Until the picture and its map are drawn, and with them the viewer has its size."""
    expect(page.locator(".stage").first).to_have_attribute("aria-busy", "false")
