"""Many images by style shift and probability, each where the service's answer puts it."""

import math
from pathlib import Path

import httpx
import pytest
from PIL import Image, ImageEnhance
from playwright.sync_api import Page, expect

from tests.service.page.accessibility import assert_accessible


def test_points_stand_where_the_answers_say(page: Page, service: str, demo: Path, tmp_path: Path) -> None:
    with Image.open(demo / "oct.jpeg") as scan:
        for number, light in enumerate((1.0, 0.7, 1.4), 1):
            ImageEnhance.Brightness(scan).enhance(light).save(tmp_path / f"{number}.png")
    files = [*(tmp_path / f"{number}.png" for number in (1, 2, 3)), demo / "dr.jpeg"]
    answers = [httpx.post(f"{service}/v1/models/oct/predict", content=file.read_bytes()).json() for file in files]
    predictions = [answer["predictions"][0] for answer in answers]
    style = httpx.get(f"{service}/v1/models/oct/card").json()["style"]

    page.set_input_files("#file", files[:2])
    expect(page.locator(".gallery img.thumbnail")).to_have_count(2)
    page.get_by_role("button", name="All images").click()
    expect(page.locator(".images-table tbody tr")).to_have_count(2)
    expect(page.locator(".scatter")).to_have_count(0)  # of two images the table says more

    page.set_input_files("#file", files[2:])
    plot = page.get_by_role("img", name="4 images by style shift and probability: 3 usual, 0 unusual, 1 unlike")
    expect(plot).to_be_visible()
    scores = [prediction["style_shift"]["score"] for prediction in predictions]
    start = math.asinh(min(style["validation_quantiles"][0], *scores))
    end = math.asinh(max(style["validation_quantiles"][-1], style["unlike_beyond"], *scores)) + 0.15
    for file, prediction in zip(files, predictions, strict=True):
        point = plot.locator("circle", has=page.locator(f"title:text('{file.name}:')"))
        x, y = (float(point.get_attribute(name) or "") for name in ("cx", "cy"))
        score = prediction["style_shift"]["score"]
        assert x == pytest.approx(640 * (math.asinh(score) - start) / (end - start), abs=0.01)
        assert y == pytest.approx(180 * (1 - prediction["probability"]), abs=0.01)
    assert_accessible(page)
    plot.locator("circle.unlike").click()
    expect(page.get_by_role("heading", name="dr.jpeg")).to_be_visible()
