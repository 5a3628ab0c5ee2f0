"""A channel opens: its map over the image, the answer with its usual gate, the images that move it. Maps compared."""

import base64
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image, ImageEnhance
from playwright.sync_api import Page, expect

from tests.service.page.waiting import wait_for_picture

Keep = Callable[[str], None]


def pixels_of(page: Page, canvas: str) -> Any:
    """The pixels (H, W, 4) of a canvas."""
    found = page.locator(canvas).first.evaluate(
        """async canvas => {
            const { width, height } = canvas;
            const blob = new Blob([canvas.getContext("2d").getImageData(0, 0, width, height).data]);
            const reader = new FileReader();
            const read = new Promise(done => { reader.onload = done });
            reader.readAsDataURL(blob);  // playwright takes long over arrays
            await read;
            return { height, data: reader.result.split(",")[1] };
        }"""
    )
    return np.frombuffer(base64.b64decode(found["data"]), np.uint8).reshape(found["height"], -1, 4)


@pytest.fixture
def expected_errors() -> list[str]:
    return ["willReadFrequently"]  # Chromium's advice to who reads pixels, as these tests do


def test_a_channel_opens_over_the_image(page: Page, service: str, demo: Path, screenshot: Keep) -> None:
    model, content = f"{service}/v1/models/oct", (demo / "oct.jpeg").read_bytes()
    wanted = httpx.post(f"{model}/channels/layer2.0/5", content=content).json()
    seen = httpx.post(f"{model}/predict", content=content).json()["predictions"][0]["image"]
    page.set_input_files("#file", demo / "oct.jpeg")
    row = page.get_by_role("slider", name="Channel of layer2.0")
    wait_for_picture(page)
    evidence = pixels_of(page, "canvas.map")
    row.focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    panel = page.get_by_role("region", name="layer2.0, channel 5")
    expect(panel).to_contain_text(f"The gate is {wanted['gate']:.3f}; in training it is {wanted['gate_if_set']:.3f}")
    cells = panel.locator("tbody tr").first.locator("td").all_inner_texts()
    first = wanted["labels"][0]
    shown = float(cells[2].replace("\N{MINUS SIGN}", "-"))
    assert shown == pytest.approx(first["log_odds_change"], abs=0.006)
    expect(page.get_by_role("img", name="oct.jpeg, with layer2.0, channel 5 laid over it")).to_be_visible()
    assert not np.array_equal(pixels_of(page, "canvas.map"), evidence)
    page.get_by_text("Colours", exact=True).click()
    # The strongest place of the service's map is where the overlay is most opaque.
    strength = np.abs(wanted["map"])
    alpha = pixels_of(page, "canvas.map")[..., 3]
    place = np.array(np.unravel_index(strength.argmax(), strength.shape)) + 0.5
    crop = seen["crop"]
    place = place / strength.shape * (crop["height"], crop["width"]) + (crop["top"], crop["left"])
    y, x = (place / (seen["height"], seen["width"]) * alpha.shape).astype(int)
    assert alpha[y, x] > 0.9 * alpha.max()
    screenshot("channel")
    page.locator("#map-class").select_option(index=1)
    expect(page.get_by_role("img", name="with the evidence for choroidal")).to_be_visible()
    panel.get_by_role("button", name="Close the channel").click()
    expect(panel).to_have_count(0)


def test_the_images_that_move_it_most_are_named_and_open(page: Page, demo: Path, tmp_path: Path) -> None:
    with Image.open(demo / "oct.jpeg") as image:
        for name, factor in (("dark", 0.4), ("light", 1.6)):
            ImageEnhance.Brightness(image).enhance(factor).save(tmp_path / f"{name}.png")
    files = [demo / "oct.jpeg", tmp_path / "dark.png", tmp_path / "light.png"]
    page.set_input_files("#file", files)
    expect(page.locator(".gallery img.thumbnail")).to_have_count(3)
    page.locator(".row").first.click(position={"x": 1, "y": 5})
    panel = page.locator(".channel")
    expect(panel.locator("li")).to_have_count(3)
    sizes = [
        abs(float(re.findall(r"[+\u2212-][\d.]+(?= SD)", text)[0].replace("\N{MINUS SIGN}", "-")))
        for text in panel.locator("li").all_inner_texts()
    ]
    assert sizes == sorted(sizes, reverse=True)
    expect(panel.locator("li", has_text="oct.jpeg (this one)").get_by_role("button")).to_have_count(0)
    panel.get_by_role("button", name="dark.png").click()
    expect(page.locator("#result-title")).to_have_text("dark.png")
    expect(page.locator(".channel")).to_have_count(0)


def test_a_refusal_is_said_in_words(page: Page, demo: Path, expected_errors: list[str]) -> None:
    expected_errors.append("409")
    problem = {"type": "urn:retina-srm:problem:closed-graph", "title": "Conflict", "status": 409, "detail": "No."}
    page.route("**/channels/**", lambda route: route.fulfill(status=409, json=problem))
    page.set_input_files("#file", demo / "oct.jpeg")
    page.locator(".row").first.click(position={"x": 1, "y": 5})
    expect(page.locator(".channel")).to_contain_text("does not allow to look into its channels")


def test_two_maps_are_set_against_each_other(page: Page, service: str, demo: Path, tmp_path: Path) -> None:
    with Image.open(demo / "oct.jpeg") as image:
        ImageEnhance.Brightness(image).enhance(0.5).save(tmp_path / "dark.png")
    files = [demo / "oct.jpeg", tmp_path / "dark.png"]
    maps = []
    for file in files:
        answer = httpx.post(f"{service}/v1/models/oct/predict?activation_map=true", content=file.read_bytes()).json()
        maps.append(np.array(answer["predictions"][0]["class_activation"]["maps"][0]))
    page.set_input_files("#file", files)
    page.get_by_role("button", name="Compare with dark.png").click()
    page.locator("#map-class").select_option(index=0)
    difference = maps[1] - maps[0]
    picture = page.get_by_role("img", name="B minus A of the maps")
    expect(picture).to_have_attribute("aria-label", re.compile(rf"\+{np.abs(difference).max():.2f}$"))
    red, _, blue, _ = np.moveaxis(pixels_of(page, ".map-difference > canvas"), -1, 0)
    for place, more, less in ((difference.argmax(), red, blue), (difference.argmin(), blue, red)):
        y, x = ((np.array(np.unravel_index(place, difference.shape)) + 0.5) / difference.shape * 192).astype(int)
        if abs(difference.flat[place]) > 0.3 * np.abs(difference).max():
            assert more[y, x] > less[y, x]
