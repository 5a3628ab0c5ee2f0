"""Demo images: for each model one that it is made for, and one that it is not."""

import pytest
from playwright.sync_api import Page, expect


@pytest.mark.parametrize(("model", "foreign"), [("oct", "dr"), ("dr", "oct")])
def test_an_image_that_the_model_is_not_made_for(page: Page, service: str, model: str, foreign: str) -> None:
    page.goto(f"{service}/?model={model}")
    page.get_by_role("button", name=f"Try an image that {model} is not made for").click()
    expect(page.get_by_role("heading", name=f"{foreign}.jpeg")).to_be_visible()
    expect(page.locator(".facts")).to_contain_text(f"{model}, version")
    expect(page.locator(".trust")).to_contain_text("The image is unlike those this model was trained on")
    page.get_by_role("button", name="Try an image that this model is not made for").click()
    expect(page.locator(".gallery .badge")).to_have_text(["unlike", "unlike"])


def test_models_of_one_kind_of_image_have_no_foreign_one(page: Page) -> None:
    """As their cards say it: a card without a scope says nothing, and so nothing is offered."""

    def without(route):
        route.fulfill(json=route.fetch().json() | {"scope": None})

    page.route("**/v1/models/dr/versions/1/card", without)
    page.reload()
    page.wait_for_selector(".welcome")
    expect(page.get_by_text("Model card: oct")).to_be_visible()
    page.wait_for_load_state("networkidle")
    expect(page.get_by_role("button", name="not made for")).to_have_count(0)
