"""The API key: asked for, refused, changed and forgotten. Only the refusals are made up; the real service answers."""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

KEPT = "sessionStorage.getItem('retina-api-key')"


@pytest.fixture
def expected_errors() -> list[str]:
    return ["401"]


@pytest.fixture
def valid(page: Page) -> set[str]:
    """The keys that are valid, on a page that was loaded anew without one."""
    keys = {"letmein"}

    def guard(route: Any) -> None:
        scheme, _, key = route.request.headers.get("authorization", "").partition(" ")
        if scheme == "Bearer" and key in keys:
            route.continue_()
        else:
            kind = "urn:retina-srm:problem:unauthenticated"
            problem = {"type": kind, "title": "Unauthorized", "status": 401, "detail": "Send a key."}
            route.fulfill(status=401, json=problem, content_type="application/problem+json")

    page.route("**/v1/**", guard)
    page.reload()
    return keys


def enter(page: Page, key: str) -> None:
    page.get_by_label("API key").fill(key)
    page.get_by_label("API key").press("Enter")


def test_a_guarded_service_asks_for_its_key(page: Page, valid: set[str], demo: Path) -> None:
    expect(page.get_by_role("heading", level=1)).to_have_text("This service asks for an API key")
    expect(page.get_by_text("was not accepted")).to_have_count(0)
    page.get_by_label("API key").fill("wrong")
    page.get_by_role("button", name="Use this key").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("The API key was not accepted")
    expect(page.get_by_role("alert")).to_contain_text("Check it for typing errors")
    expect(page.get_by_label("API key")).to_be_focused()
    enter(page, "letmein")
    page.set_input_files("#file", demo / "oct.jpeg")
    expect(page.locator(".bars li")).to_have_count(4)
    assert page.evaluate(KEPT) == "letmein"
    assert page.evaluate("localStorage.length") == 0


def test_the_key_can_be_changed(page: Page, valid: set[str], demo: Path) -> None:
    enter(page, "letmein")
    page.get_by_role("button", name="Change").click()
    expect(page.get_by_label("API key")).to_be_focused()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_label("API key")).to_have_count(0)
    page.get_by_role("button", name="Change").click()
    enter(page, "wrong")
    expect(page.get_by_role("alert")).to_contain_text("was not accepted")
    valid.add("another")
    enter(page, "another")
    expect(page.get_by_label("API key")).to_have_count(0)
    page.set_input_files("#file", demo / "oct.jpeg")
    expect(page.locator(".bars li")).to_have_count(4)
    assert page.evaluate(KEPT) == "another"


def test_the_key_can_be_forgotten_and_the_results_stay(page: Page, valid: set[str], demo: Path) -> None:
    enter(page, "letmein")
    page.set_input_files("#file", demo / "oct.jpeg")
    expect(page.locator(".bars li")).to_have_count(4)
    page.get_by_role("button", name="Forget").click()
    expect(page.get_by_text("The API key was forgotten")).to_be_visible()
    expect(page.get_by_role("button", name="Forget")).to_have_count(0)
    assert page.evaluate(KEPT) is None
    expect(page.locator(".bars li")).to_have_count(4)
    page.set_input_files("#file", demo / "dr.jpeg")
    expect(page.locator(".gallery .fault")).to_have_text("The service asks for an API key.")
    enter(page, "letmein")
    expect(page.locator(".gallery .fault")).to_have_count(0)
    expect(page.locator(".gallery img")).to_have_count(2)


def test_a_service_without_keys_speaks_of_none(page: Page) -> None:
    page.wait_for_selector(".welcome")
    expect(page.get_by_text("API key")).to_have_count(0)
