"""The accessibility check that every state of the page must pass."""

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

WCAG_AA = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}


def assert_accessible(page: Page) -> None:
    violations = Axe().run(page, options=WCAG_AA).response["violations"]
    assert not violations, [(each["id"], [node["html"][:200] for node in each["nodes"]]) for each in violations]
