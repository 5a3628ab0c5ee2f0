"""Where the browser sets the colours, as with contrast themes, every bar and mark is still drawn: by its pixels."""

import io
import itertools
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from tests.service.page.waiting import wait_for_picture

pytestmark = pytest.mark.parametrize("context", ["dark"], indirect=True)


@pytest.fixture
def media() -> dict[str, Any]:
    return {"forced_colors": "active"}


def pixels(shown: Locator) -> Any:
    """The element as it is drawn, (H, W, 3)."""
    with Image.open(io.BytesIO(shown.screenshot(animations="disabled"))) as picture:
        return np.asarray(picture.convert("RGB"), dtype=float)


def apart(one: Any, other: Any) -> float:
    """The distance of two colours, from 0 to 442."""
    return float(np.linalg.norm(np.asarray(one) - np.asarray(other)))


def test_probability_bars_are_as_long_as_the_probabilities(page: Page, service: str, demo: Path) -> None:
    answer = httpx.post(f"{service}/v1/models/dr/predict", content=(demo / "dr.jpeg").read_bytes()).json()
    page.goto(f"{service}/?model=dr")
    page.set_input_files("#file", demo / "dr.jpeg")
    expect(page.locator(".bars li")).to_have_count(5)
    wait_for_picture(page)
    for row, each in zip(page.locator(".bars li").all(), answer["predictions"][0]["probabilities"], strict=True):
        drawn = pixels(row.locator(".track"))
        line = drawn[len(drawn) // 2]
        empty = line[-8]
        inside = line[4:-4]
        filled = np.linalg.norm(inside - empty, axis=1) > 60
        assert filled.mean() == pytest.approx(each["probability"], abs=0.06), each["label"]
        outside = pixels(page.locator(".readings section").last)[2, 2]
        assert max(apart(drawn[y, 30], outside) for y in range(3)) > 60, "the bar's frame shows where 100 % is"


def test_the_image_s_place_in_the_histogram(page: Page, demo: Path) -> None:
    page.set_input_files("#file", demo / "oct.jpeg")
    wait_for_picture(page)
    plot = pixels(page.locator(".shift-histogram svg"))
    own = page.locator(".shift-histogram line.own").bounding_box()
    whole = page.locator(".shift-histogram svg").bounding_box()
    assert own is not None
    assert whole is not None
    line = plot[3]  # above the bars
    place = round(own["x"] + own["width"] / 2 - whole["x"])
    assert apart(line[place], line[place - 14]) > 150
    assert apart(line[place], line[place + 14]) > 150


def test_the_plots_of_the_models(page: Page, service: str) -> None:
    counts = httpx.get(f"{service}/v1/models/oct/card").json()["measured"]["confusion"]
    page.goto(f"{service}/models")
    section = page.get_by_role("region", name="oct, version 3")
    cells = section.locator(".confusion tbody td")
    expect(cells).to_have_count(16)
    shades = [pixels(cell)[6, 6] for cell in cells.all()]
    ground = pixels(section)[3, 3]
    shares = [count / sum(row) for row in counts for count in row]
    assert apart(shades[int(np.argmax(shares))], shades[int(np.argmin(shares))]) > 60
    order = np.argsort(shares)
    depth = [apart(shades[i], ground) for i in order]
    assert all(after >= before - 3 for before, after in itertools.pairwise(depth)), "darker is a larger share"
    for mark in (".sensitivities .whisker", ".intervals .whisker"):
        drawn = pixels(section.locator(mark).first)
        colours, numbers = np.unique(drawn.reshape(-1, 3), axis=0, return_counts=True)
        background = colours[numbers.argmax()]
        strong = [apart(colour, background) > 150 for colour in colours]
        assert sum(strong) >= 2, "the interval and the value"
    diagram = section.locator(".reliability svg")
    box = diagram.bounding_box()
    dot = section.locator(".reliability circle").last.bounding_box()
    assert box is not None
    assert dot is not None
    drawn = pixels(diagram)
    middle = drawn[round(dot["y"] + dot["height"] / 2 - box["y"]), round(dot["x"] + dot["width"] / 2 - box["x"])]
    assert apart(middle, ground) > 150


def test_what_is_chosen(page: Page, demo: Path) -> None:
    page.set_input_files("#file", [demo / "oct.jpeg", demo / "dr.jpeg"])
    expect(page.locator(".gallery img")).to_have_count(2)
    views = page.get_by_role("navigation", name="Views").get_by_role("link")
    grounds = [view.evaluate("link => getComputedStyle(link).backgroundColor") for view in views.all()]
    assert len(set(grounds)) == 2, grounds
    for items in (".gallery li", ".models li"):
        borders = [item.evaluate("item => getComputedStyle(item).borderColor") for item in page.locator(items).all()]
        assert len(set(borders)) == 2, (items, borders)
