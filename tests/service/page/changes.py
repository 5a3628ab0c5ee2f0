"""Answers that the shipped models do not give by themselves."""

from typing import Any

from playwright.sync_api import Page


def changed(page: Page, **changes: Any) -> None:
    """Let the service's answers have other values in their prediction."""

    def change(route: Any) -> None:
        answer = route.fetch().json()
        answer["predictions"][0] |= changes
        route.fulfill(json=answer)

    page.route("**/predict?weights=full*", change)
