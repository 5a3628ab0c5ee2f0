"""Many images at once: how far they are, a service that goes away, failures, and the end of all."""

import signal
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from service.settings import SHIPPED_REPOSITORY
from tests.service.page.accessibility import assert_accessible
from tests.service.page.scans import write_scans
from tests.service.process import running


@pytest.fixture
def scans(demo: Path, tmp_path: Path) -> list[Path]:
    return write_scans(demo / "oct.jpeg", tmp_path, [f"{i}.png" for i in range(6)])


def test_progress_is_counted_and_told_now_and_then(page: Page, scans: list[Path]) -> None:
    page.evaluate("""() => {
        window.told = [];
        const note = () => {
            const text = document.querySelector("#batch-status")?.textContent;
            if (text && told.at(-1) !== text) told.push(text);
            const bar = document.querySelector(".batch-progress");
            if (bar) window.bar = [bar.textContent, bar.querySelector("progress").max];
        };
        new MutationObserver(note).observe(document.body, { subtree: true, childList: true, characterData: true });
    }""")
    page.set_input_files("#file", scans)
    expect(page.locator("#batch-status")).to_have_text("All 6 images done")
    told = page.evaluate("told")
    assert len(told) <= 5
    text, most = page.evaluate("bar")
    assert text.endswith(" of 6")
    assert most == 6
    expect(page.locator(".batch-progress")).to_have_count(0)


def test_all_that_failed_are_sent_again_at_once(page: Page, scans: list[Path], expected_errors: list[str]) -> None:
    expected_errors.append("500")
    page.route("**/predict?*", lambda route: route.fulfill(status=500, json={"title": "Out of order"}))
    page.set_input_files("#file", scans)
    expect(page.locator(".gallery .fault")).to_have_count(6)
    page.unroute("**/predict?*")
    page.get_by_role("button", name="Retry 6 failed").click()
    expect(page.locator(".gallery img.thumbnail")).to_have_count(6)
    expect(page.get_by_role("button", name="Retry")).to_have_count(0)


def test_all_are_removed_after_a_question(page: Page, scans: list[Path]) -> None:
    page.set_input_files("#file", scans)
    expect(page.locator(".gallery img.thumbnail")).to_have_count(6)
    page.get_by_role("button", name="Remove all (6)").click()
    expect(page.get_by_role("dialog")).to_contain_text("Remove all 6 images?")
    assert_accessible(page)
    page.keyboard.press("Escape")
    expect(page.locator(".gallery li")).to_have_count(6)
    page.get_by_role("button", name="Remove all (6)").click()
    page.get_by_role("button", name="Remove 6 images").click()
    expect(page.locator(".gallery")).to_have_count(0)
    expect(page.locator("#file")).to_be_focused()


@pytest.mark.parametrize("by_hand", [True, False])
def test_a_batch_waits_for_a_service_that_went_away(
    page: Page, scans: list[Path], expected_errors: list[str], by_hand: bool
) -> None:
    """A service of its own is stopped before the batch and started again at the same address."""
    expected_errors.append("net::ERR")
    with running(SHIPPED_REPOSITORY, RETINA_PROVIDER="cpu") as (process, address, _):
        page.goto(f"{address}/?model=oct")
        page.wait_for_selector(".welcome")
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    page.set_input_files("#file", scans)
    expect(page.get_by_role("alert")).to_contain_text("The service can't be reached")
    expect(page.locator(".gallery .outcome", has_text="waiting")).to_have_count(6)
    assert_accessible(page)
    page.get_by_role("button", name="Go on").click()
    expect(page.locator(".gallery .outcome", has_text="waiting")).to_have_count(6)
    port = address.rsplit(":", 1)[1]
    with running(SHIPPED_REPOSITORY, RETINA_PROVIDER="cpu", RETINA_PORT=port):
        if by_hand:
            page.get_by_role("button", name="Go on").click()
        expect(page.locator(".gallery img.thumbnail")).to_have_count(6, timeout=40_000)
        expect(page.get_by_role("alert")).to_have_count(0)
