"""For everybody: keyboard, screen readers (axe), small screens; and nothing from elsewhere."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

Keep = Callable[[str], None]


def test_the_keyboard_is_enough(page: Page) -> None:
    """From the address bar to a gate's value without a pointer."""
    page.wait_for_selector(".welcome")

    def tab_to(found: str) -> None:
        for _ in range(40):
            page.keyboard.press("Tab")
            if page.evaluate(f"document.activeElement.matches({found!r})"):
                return
        raise AssertionError(f"the Tab key does not reach {found}")

    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the content")).to_be_focused()
    tab_to("input[name=model]")
    page.keyboard.press("ArrowUp")
    expect(page.locator("input[name=model][value=dr]")).to_be_checked()
    tab_to("[aria-label='Try the demo image of dr']")
    page.keyboard.press("Enter")
    page.wait_for_selector(".outstanding")
    tab_to("#map-class")
    page.keyboard.press("m")
    expect(page.locator("#map-class")).to_have_value("1")
    tab_to("input[name=map-style]")
    page.keyboard.press("ArrowRight")
    tab_to("#opacity")
    page.keyboard.press("End")
    expect(page.locator(".slider output")).to_have_text("100 %")
    tab_to(".row")
    for key in ("ArrowDown", "ArrowRight", "ArrowRight"):
        page.keyboard.press(key)
    expect(page.locator(".reading")).to_contain_text("layer1.1, channel 2 of 0\N{EN DASH}31")
    assert "channel 2" in (page.locator(":focus").get_attribute("aria-valuetext") or "")
    tab_to("summary")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Intended use")).to_be_visible()


def test_a_phone_needs_no_sideways_scrolling(page: Page, demo: Path, screenshot: Keep) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.set_input_files("#file", [demo / "oct.jpeg", demo / "dr.jpeg"])
    page.wait_for_selector(".outstanding")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    screenshot("phone")
    page.get_by_role("link", name="Models").click()
    page.wait_for_selector(".intervals")
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_nothing_comes_from_elsewhere_and_nothing_inline_runs(page: Page, service: str, demo: Path) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.reload()
    page.set_input_files("#file", demo / "oct.jpeg")
    page.wait_for_selector(".outstanding")
    page.get_by_role("link", name="Models").click()
    page.wait_for_selector(".intervals")
    outside = [url for url in asked if not url.startswith((service, "data:", "blob:"))]
    assert len(asked) > 10
    assert not outside

    refused: list[Any] = page.evaluate(
        """() => new Promise(resolve => {
            const seen = [];
            addEventListener("securitypolicyviolation", event => seen.push(event.effectiveDirective));
            const script = document.createElement("script");
            script.textContent = "document.title = 'taken over'";
            document.body.append(script);
            const style = document.createElement("style");
            style.textContent = "body { display: none }";
            document.body.append(style);
            const image = new Image();
            image.src = "http://127.0.0.2/pixel.png";
            setTimeout(() => resolve(seen), 300);
        })"""
    )
    assert {"script-src-elem", "style-src-elem", "img-src"} <= set(refused)
    assert page.title() != "taken over"


@pytest.fixture
def expected_errors(request: pytest.FixtureRequest) -> list[str]:
    """The refusals that the last test provokes are on the console too."""
    return ["Content Security Policy"] if "elsewhere" in request.node.name else []


@pytest.mark.parametrize("path", ["/", "/models", "/status"])
def test_the_policy_is_strict(service: str, path: str) -> None:
    policy = httpx.get(f"{service}{path}").headers["content-security-policy"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == rules["style-src"] == rules["connect-src"] == "'self'"
    assert "unsafe" not in policy
    assert rules["frame-ancestors"] == rules["form-action"] == rules["base-uri"] == "'none'"
