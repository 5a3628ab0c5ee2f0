"""The view of every model: its card's figures, and the plots where the card has them."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.service.page.accessibility import assert_accessible

Keep = Callable[[str], None]
CONFUSION = [[90, 4, 3, 3], [3, 10, 2, 2], [4, 1, 8, 4], [1, 0, 2, 151]]
BINS = [
    {"confidence": 0.45, "accuracy": 0.5, "images": 12},
    {"confidence": 0.8, "accuracy": 0.7, "images": 40},
    {"confidence": 0.98, "accuracy": 0.96, "images": 236},
]


def test_reliability_at_the_class_frequencies_assumed(page: Page, service: str) -> None:
    """A dot is as large as its bin's share of the population that the probabilities assume."""
    card = httpx.get(f"{service}/v1/models/oct/card").json()
    bins = [each | {"share": share} for each, share in zip(BINS, (0.64, 0.2, 0.16), strict=True)]
    measured = card["measured"] | {"reliability": bins}
    page.route("**/v1/models/oct/versions/3/card", lambda route: route.fulfill(json=card | {"measured": measured}))
    page.goto(f"{service}/models")
    diagram = page.get_by_role("region", name="oct, version 3").locator(".reliability")
    expect(diagram).to_contain_text("at the class frequencies that the probabilities assume")
    radii = [float(dot.get_attribute("r") or "") for dot in diagram.locator("circle").all()]
    assert radii == pytest.approx([2.5 + 7, 2.5 + 7 * (0.2 / 0.64) ** 0.5, 2.5 + 7 / 2])


@pytest.mark.parametrize("context", ["light", "dark"], indirect=True)
def test_cards_results_and_plots(page: Page, service: str, screenshot: Keep) -> None:
    """The cards are the shipped ones; the plots' data are made up until a package with them is shipped."""
    card = httpx.get(f"{service}/v1/models/oct/card").json()

    def add(route: Any) -> None:
        measured = card["measured"] | {"confusion": CONFUSION, "reliability": BINS}
        route.fulfill(json=card | {"measured": measured})

    def drop(route: Any) -> None:
        earlier = route.fetch().json()
        earlier["measured"] |= {"confusion": None, "reliability": None}
        route.fulfill(json=earlier)

    page.route("**/v1/models/oct/versions/3/card", add)
    page.route("**/v1/models/dr/versions/1/card", drop)
    page.goto(f"{service}/models")
    section = page.get_by_role("region", name="oct, version 3")
    for result in card["measured"]["results"]:
        low, high = result["interval"]
        row = section.locator(".intervals tbody tr").filter(has_text=f"{low:.3f} to {high:.3f}")
        expect(row).to_contain_text(f"{result['value']:.3f}")
    for limit in card["limits"]:
        expect(section.get_by_text(limit)).to_be_visible()
    counts = section.locator(".confusion tbody td").all_inner_texts()
    assert [int(count) for count in counts] == [count for row in CONFUSION for count in row]
    expect(section.locator(".reliability circle")).to_have_count(3)
    expect(section.locator(".reliability")).to_contain_text("at their own class frequencies")  # no bin has a share
    worth = f"Weighted to these, the images are worth {card['measured']['effective_images']:.0f}."
    expect(section.get_by_text(worth)).to_be_visible()
    x, y = (float(section.locator(".reliability circle").nth(1).get_attribute(name) or "") for name in ("cx", "cy"))
    assert (x, y) == pytest.approx((44 + 0.8 * 240, 8 + 0.3 * 240))
    expect(page.get_by_role("region", name="dr, version 1").locator(".confusion")).to_have_count(0)
    assert_accessible(page)
    screenshot(f"models-{page.evaluate('matchMedia(`(prefers-color-scheme: dark)`).matches ? `dark` : `light`')}")
