"""The page in Debian's Chromium, against a real service with the shipped models."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

from service.settings import SHIPPED_REPOSITORY
from tests.service.process import running

DEMO = SHIPPED_REPOSITORY.parents[1] / "service" / "page" / "demo"
CHROMIUM = shutil.which("chromium")
expect.set_options(timeout=20_000)  # on two cores other tests run beside
# With PAGE_SLOWED=1 answers, pictures and effects come late: a test that reads too early then fails each time, not once
# in a hundred.
SLOWED = """
for (const name of ["fetch", "createImageBitmap"]) {
    const real = window[name].bind(window);
    window[name] = async (...given) => {
        const found = await real(...given);
        await new Promise(done => setTimeout(done, 300));
        return found;
    };
}
window.requestAnimationFrame = act => setTimeout(() => act(performance.now()), 300);
"""


@pytest.fixture(scope="session")
def service() -> Iterator[str]:
    """The address of a service with the shipped models, one for all tests."""
    with running(SHIPPED_REPOSITORY, RETINA_PROVIDER="cpu") as (_, address, _):
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium; where there is none the tests are skipped, unless PAGE_BROWSER=required."""
    if CHROMIUM is None:
        missing = "no chromium on the path: apt-get install chromium"
        if os.environ.get("PAGE_BROWSER") == "required":
            pytest.fail(missing)
        pytest.skip(missing)
    with sync_playwright() as playwright:
        # As root, and so in containers, Chromium does not start with its sandbox.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def expected_errors() -> list[str]:
    """What a test expects on the browser's console, such as the status of a request that shall fail."""
    return []


@pytest.fixture
def media() -> dict[str, Any]:
    """What the person has set in the system, beside the colour scheme."""
    return {"reduced_motion": "reduce"}


@pytest.fixture(params=["light"])
def context(browser: Browser, media: dict[str, Any], request: pytest.FixtureRequest) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": 1280, "height": 1000}, color_scheme=request.param, **media)
    context.set_default_timeout(30_000)
    if os.environ.get("PAGE_SLOWED"):
        context.add_init_script(SLOWED)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext, service: str, expected_errors: list[str]) -> Iterator[Page]:
    """The page, open on ``/`` with ``oct`` chosen. Errors on its console that the test did not expect fail the test."""
    page = context.new_page()
    errors: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            errors.append(message.text)

    page.on("console", note)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"{service}/?model=oct")
    yield page
    unexpected = [text for text in errors if not any(known in text for known in expected_errors)]
    assert not unexpected, unexpected


@pytest.fixture
def demo() -> Path:
    """The folder of the demo images."""
    return DEMO


@pytest.fixture
def screenshot(page: Page) -> Callable[[str], None]:
    """Keep a picture of the whole page in the folder PAGE_SCREENSHOTS, where one is named."""

    def keep(name: str) -> None:
        if folder := os.environ.get("PAGE_SCREENSHOTS"):
            Path(folder).mkdir(parents=True, exist_ok=True)
            page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)

    return keep
