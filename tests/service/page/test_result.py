"""The answer as a clinician reads it: whether to trust it, the image viewer, the map's lines, the style's place."""

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.service.page.changes import changed
from tests.service.page.waiting import wait_for_picture

Keep = Callable[[str], None]
TWO = {"coverage": 0.9, "labels": ["drusen", "normal"]}


class TestTrust:
    def test_of_a_usual_image_names_the_one_label_that_fits(self, page: Page, demo: Path) -> None:
        page.set_input_files("#file", demo / "oct.jpeg")
        trust = page.get_by_role("group", name="Can I trust this answer?")
        expect(trust.locator(".verdict")).to_have_text(
            "The image looks like the training images. It fits choroidal neovascularization only (90 % sets)."
        )
        expect(trust.get_by_role("button")).to_have_count(0)
        expect(page.locator(".doubtful")).to_have_count(0)
        expect(page.locator(".gallery .badge")).to_have_count(0)
        above, picture = trust.bounding_box(), page.locator(".stage").bounding_box()
        assert above is not None
        assert picture is not None
        assert above["y"] < picture["y"]

    @pytest.mark.parametrize(
        ("changes", "sentence"),
        [
            ({"prediction_set": TWO}, "It fits drusen or normal (90 % sets); these can't be told apart here."),
            ({"prediction_set": TWO | {"labels": []}}, "It fits no label well (90 % sets)."),
            ({"prediction_set": None}, "The finding is choroidal neovascularization."),
            ({"style_shift": None}, "This model can't say whether the image looks like its training images."),
        ],
    )
    def test_says_what_can_be_said(self, page: Page, demo: Path, changes: dict[str, Any], sentence: str) -> None:
        changed(page, **changes)
        page.set_input_files("#file", demo / "oct.jpeg")
        expect(page.locator(".trust")).to_contain_text(sentence)

    def test_of_an_unusual_image_asks_to_check(self, page: Page, demo: Path) -> None:
        shift = {"verdict": "unusual", "score": 3.5, "percentile": 99.1, "blocks": [{"block": "input", "score": 3.5}]}
        changed(page, style_shift=shift)
        page.set_input_files("#file", demo / "oct.jpeg")
        expect(page.locator(".trust")).to_contain_text("looks unusual to this model")
        expect(page.locator(".trust")).to_contain_text("It fits choroidal neovascularization only")
        expect(page.locator(".doubtful .headline")).to_be_visible()

    def test_of_a_file_out_of_scope_says_what_the_model_is_for(self, page: Page, demo: Path) -> None:
        changed(page, scope={"verdict": "out of scope", "reason": "The model is for OCT; the file is a CT."})
        page.set_input_files("#file", demo / "oct.jpeg")
        expect(page.locator(".trust")).to_contain_text(
            "This model is not made for this image. The model is for OCT; the file is a CT."
        )

    def test_of_an_image_of_another_kind_offers_the_model_that_it_fits(
        self, page: Page, demo: Path, screenshot: Keep
    ) -> None:
        page.set_input_files("#file", demo / "dr.jpeg")
        trust = page.locator(".trust")
        expect(trust).to_contain_text("The image is unlike those this model was trained on. Don't rely on the finding")
        expect(trust).not_to_contain_text("fits choroidal")
        expect(page.locator(".set")).to_have_count(0)
        headline, plain = page.locator(".doubtful .headline span"), page.locator(".style-shift .muted").first
        grey = "element => getComputedStyle(element).color"
        assert headline.evaluate(grey) == plain.evaluate(grey)
        expect(page.locator(".gallery .badge")).to_have_text("unlike")
        screenshot("style-shift")
        trust.get_by_role("button", name="Classify it with dr").click()
        expect(trust).to_contain_text("looks like the training images")
        expect(page.locator(".facts")).to_contain_text("dr, version 1")
        expect(page.locator("input[name=model][value=dr]")).to_be_checked()
        expect(page.locator(".gallery li")).to_have_count(2)


def test_choosing_another_model_classifies_the_open_image(page: Page, demo: Path) -> None:
    page.set_input_files("#file", demo / "oct.jpeg")
    expect(page.locator(".facts")).to_contain_text("oct, version 3")
    for name, answers in (("dr", 2), ("oct", 2)):
        page.locator(f"input[name=model][value={name}]").check()
        expect(page.locator(".facts")).to_contain_text(f"{name}, version")
        expect(page.locator(".gallery li")).to_have_count(answers)


class TestViewer:
    @pytest.fixture
    def stage(self, page: Page, demo: Path) -> Any:
        page.set_input_files("#file", demo / "oct.jpeg")
        stage = page.locator(".stage")
        wait_for_picture(page)
        expect(page.get_by_role("img", name="oct.jpeg, with the evidence for choroidal")).to_be_visible()
        return stage

    def drawn(self, stage: Any) -> dict[str, float]:
        """How the picture lies in the stage when it is drawn anew: scale, shift in pixels."""
        return stage.locator(".picture").evaluate(
            """async canvas => {
                for (let frame = 0; frame < 2; frame++) await new Promise(requestAnimationFrame);
                const { a, e, f } = new DOMMatrix(getComputedStyle(canvas).transform);
                return { zoom: a, x: e, y: f };
            }"""
        )

    def test_fills_the_room_that_it_has(self, page: Page, stage: Any) -> None:
        page.set_viewport_size({"width": 1920, "height": 1080})
        box, work = stage.bounding_box(), page.locator(".work").bounding_box()
        assert work is not None
        assert box["width"] > 0.55 * work["width"]
        assert box["width"] / box["height"] == pytest.approx(529 / 256, abs=0.02), "no black bars"

    def test_zooms_where_the_pointer_is(self, page: Page, stage: Any) -> None:
        box = stage.bounding_box()
        stage.focus()
        page.mouse.move(box["x"] + box["width"] / 4, box["y"] + box["height"] / 2)
        for _ in range(3):
            page.mouse.wheel(0, -100)
        expect(page.locator(".zoom")).to_have_text("195 %")
        found = self.drawn(stage)
        # What was under the pointer, a quarter of the width left of the middle, stays there.
        assert found["zoom"] == pytest.approx(1.25**3, rel=1e-4)
        assert found["x"] == pytest.approx((1.25**3 - 1) * box["width"] / 4, abs=1)
        assert found["y"] == pytest.approx(0, abs=1)

    def test_moves_by_dragging_but_not_beyond_the_picture(self, page: Page, stage: Any) -> None:
        page.get_by_role("button", name="Zoom in").click(click_count=1)
        page.get_by_role("button", name="Zoom in").click(click_count=1)
        box = stage.bounding_box()
        middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.mouse.move(*middle)
        page.mouse.down()
        page.mouse.move(middle[0] - 30, middle[1] + 10)
        assert (self.drawn(stage)["x"], self.drawn(stage)["y"]) == pytest.approx((-30, 10), abs=0.5)
        page.mouse.move(middle[0] - 3000, middle[1])
        page.mouse.up()
        assert self.drawn(stage)["x"] == pytest.approx(-(1.25**2 - 1) * box["width"] / 2, abs=1)

    def test_brightness_and_contrast_by_dragging(self, page: Page, stage: Any) -> None:
        page.get_by_role("button", name="Brightness").click()
        box = stage.bounding_box()
        middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.mouse.move(*middle)
        page.mouse.down()
        page.mouse.move(middle[0] - 40, middle[1] - 100)
        page.mouse.up()
        expect(stage.locator(".picture")).to_have_css("filter", "brightness(1.5) contrast(0.8)")
        expect(stage.locator(".map"), "the map keeps its colours").to_have_css("filter", "none")
        page.get_by_role("button", name="Reset").click()
        expect(stage.locator(".picture")).to_have_css("filter", "none")

    def test_by_keyboard_alone(self, page: Page, stage: Any) -> None:
        stage.focus()
        page.keyboard.press("+")
        page.keyboard.press("+")
        page.keyboard.press("ArrowRight")
        assert self.drawn(stage) == pytest.approx({"zoom": 1.25**2, "x": -40, "y": 0}, rel=1e-4)
        page.keyboard.press("0")
        assert self.drawn(stage) == {"zoom": 1, "x": 0, "y": 0}
        for name in ("oct.jpeg", "oct.jpeg, with the evidence for choroidal neovascularization laid over it"):
            page.keyboard.press("m")
            expect(page.get_by_role("img", name=name, exact=True)).to_be_visible()
        page.keyboard.press("f")
        page.wait_for_function("document.fullscreenElement?.className === 'viewer'")
        page.keyboard.press("f")
        page.wait_for_function("!document.fullscreenElement")

    def test_of_a_large_photograph_has_its_pixels(self, page: Page, tmp_path: Path) -> None:
        Image.linear_gradient("L").resize((2500, 2000)).save(tmp_path / "large.png")
        page.set_input_files("#file", tmp_path / "large.png")
        expect(page.locator("canvas.picture")).to_have_attribute("width", "2500")


def test_lines_run_where_the_map_has_their_level(page: Page) -> None:
    """Their corners are the points between neighbours of the grid where a straight line has the level; all of them."""
    side = 24
    waves = np.sin(np.arange(side) / 3.1)[:, None] * np.cos(np.arange(side) / 4.3) + np.arange(side) / 50
    values = (waves - waves.min()) / np.ptp(waves)
    for level in (0.25, 0.5, 0.75):
        points = page.evaluate(
            """async ([values, side, level]) => {
                globalThis.Path2D = class {
                    points = [];
                    moveTo(...at) { this.points.push(at); }
                    lineTo(...at) { this.points.push(at); }
                };
                const { contour } = await import("/static/contours.js");
                return contour(values, side, level).points;
            }""",
            [values.flatten().tolist(), side, level],
        )
        expected = set()
        for axis in (0, 1):
            low, high = np.moveaxis(values, axis, 0)[:-1], np.moveaxis(values, axis, 0)[1:]
            for along, across in np.argwhere((low > level) != (high > level)).tolist():
                share = (level - low[along, across]) / (high[along, across] - low[along, across])
                point = (along + share + 0.5, across + 0.5)
                expected.add(tuple(round(value, 6) for value in (point if axis else point[::-1])))
        assert len(expected) > 20
        assert {(round(x, 6), round(y, 6)) for x, y in points} == expected


def test_the_image_stands_among_the_validation_images_by_its_score(page: Page, service: str, demo: Path) -> None:
    style = httpx.get(f"{service}/v1/models/oct/card").json()["style"]
    quantiles = style["validation_quantiles"]
    score = 40.0
    blocks = [{"block": "input", "score": score}]
    changed(page, style_shift={"verdict": "unlike", "score": score, "percentile": 100, "blocks": blocks})
    page.set_input_files("#file", demo / "oct.jpeg")
    plot = page.get_by_role("img", name="Style shift: this image has 40.00, unlike.")
    expect(plot).to_be_visible()
    start, end = math.asinh(quantiles[0]), math.asinh(score) + 0.15
    limits = [float(line.get_attribute("x1") or "") for line in plot.locator(".limit").all()]
    wanted = [320 * (math.asinh(style[name]) - start) / (end - start) for name in ("usual_up_to", "unlike_beyond")]
    assert limits == pytest.approx(wanted)
    assert float(plot.locator("line.own").get_attribute("x1") or "") > limits[1]
    edges = np.sinh(start + np.arange(33) * (end - start) / 32)
    shares = np.diff(np.interp(edges, quantiles, np.linspace(0, 1, len(quantiles))))
    heights = [float(bar.get_attribute("height") or "") for bar in plot.locator(".bin").all()]
    assert heights == pytest.approx(64 * shares / shares.max(), abs=0.01)


def test_a_result_is_printed_on_one_sheet(page: Page, demo: Path) -> None:
    page.set_input_files("#file", demo / "oct.jpeg")
    page.wait_for_selector(".shift-histogram")
    calls = page.evaluate(
        "() => { window.calls = 0; window.print = () => { window.calls += 1; }; return window.calls; }"
    )
    page.get_by_role("button", name="Print").click()
    assert page.evaluate("window.calls") == calls + 1
    page.emulate_media(media="print")
    for shown in (".trust", ".stage", ".bars", ".shift-histogram", ".strip", ".facts", "footer strong"):
        expect(page.locator(shown)).to_be_visible()
    for hidden in (".side", ".viewer-bar", ".exports", "header nav"):
        expect(page.locator(hidden)).to_be_hidden()
    sheets = len(re.findall(rb"/Type /Page\b", page.pdf(format="A4")))
    assert sheets == 1
