"""The list of images and their table: by keyboard, sorted, filtered, kept."""

from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Dialog, Page, expect

from tests.service.page.accessibility import assert_accessible
from tests.service.page.scans import write_scans

Keep = Callable[[str], None]


def focused_row(page: Page) -> str:
    """The name in the row that has the focus."""
    return page.locator("[data-id]:focus-within .open").inner_text().split("\n")[0]


def names_in_table(page: Page) -> list[str]:
    return [button.get_attribute("title") or "" for button in page.locator(".images-table tbody .open").all()]


def send(page: Page, files: list[Path]) -> None:
    page.set_input_files("#file", files)
    expect(page.locator(".gallery li img.thumbnail")).to_have_count(len(files))


def test_the_list_is_one_tab_stop(page: Page, demo: Path, tmp_path: Path) -> None:
    """From the first of 20 images the result is a few presses of the Tab key away."""
    send(page, write_scans(demo / "oct.jpeg", tmp_path, [f"{i}.png" for i in range(20)]))
    page.locator(".gallery .open").first.focus()
    inside = "document.activeElement.closest('.result') !== null"
    presses = 0
    while not page.evaluate(inside):
        page.keyboard.press("Tab")
        presses += 1
        assert presses <= 5
    page.locator(".gallery .open").first.focus()
    for key, name in [("End", "19.png"), ("ArrowUp", "18.png"), ("Home", "0.png"), ("ArrowDown", "1.png")]:
        page.keyboard.press(key)
        assert focused_row(page) == name
    page.keyboard.press("Enter")
    expect(page.locator("#result-title")).to_have_text("1.png")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("button", name="Compare with 2.png")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".differences")).to_be_visible()


def test_the_focus_stays_in_the_list_after_a_removal(page: Page, demo: Path, tmp_path: Path) -> None:
    send(page, write_scans(demo / "oct.jpeg", tmp_path, ["a.png", "b.png", "c.png"]))
    page.locator(".gallery .open").first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Delete")
    expect(page.locator(".gallery li")).to_have_count(2)
    assert focused_row(page) == "c.png"
    page.get_by_role("button", name="Remove c.png").click()
    expect(page.locator(".gallery li")).to_have_count(1)
    assert focused_row(page) == "a.png"
    page.keyboard.press("Delete")
    expect(page.locator("#file")).to_be_focused()


def test_one_image_needs_no_table(page: Page, demo: Path) -> None:
    send(page, [demo / "oct.jpeg"])
    page.wait_for_selector(".bars")
    expect(page.get_by_role("button", name="All images")).to_have_count(0)


def test_the_table_sorts_filters_and_opens(page: Page, demo: Path, tmp_path: Path, screenshot: Keep) -> None:
    scans = write_scans(demo / "oct.jpeg", tmp_path, [f"eye {i}.png" for i in (2, 10, 1)])
    send(page, [*scans, demo / "dr.jpeg"])
    page.get_by_role("button", name="All images (4)").click()
    assert focused_row(page) == "eye 2.png"
    assert_accessible(page)
    given = ["eye 2.png", "eye 10.png", "eye 1.png", "dr.jpeg"]
    assert names_in_table(page) == given

    image = page.get_by_role("columnheader", name="Image")
    image.get_by_role("button").click()
    expect(image).to_have_attribute("aria-sort", "ascending")
    assert names_in_table(page) == ["dr.jpeg", "eye 1.png", "eye 2.png", "eye 10.png"]
    image.get_by_role("button").click()
    expect(image).to_have_attribute("aria-sort", "descending")
    assert names_in_table(page) == ["eye 10.png", "eye 2.png", "eye 1.png", "dr.jpeg"]
    image.get_by_role("button").click()
    assert image.get_attribute("aria-sort") is None
    assert names_in_table(page) == given
    page.get_by_role("columnheader", name="Probability").get_by_role("button").click()
    shown = [float(text.rstrip("\u00a0%")) for text in page.locator("[data-title=Probability]").all_inner_texts()]
    assert shown == sorted(shown)
    assert len(set(shown)) > 1

    page.get_by_label("Name").fill("EYE 1")
    expect(page.get_by_text("2 of 4 shown")).to_be_visible()
    assert sorted(names_in_table(page)) == ["eye 1.png", "eye 10.png"]
    page.get_by_role("button", name="Show all").click()
    page.get_by_role("combobox", name="Style shift").select_option("unlike")
    assert names_in_table(page) == ["dr.jpeg"]
    screenshot("table")
    page.locator(".images-table .open").press("Enter")
    expect(page.locator("#result-title")).to_have_text("dr.jpeg")
    expect(page.get_by_role("button", name="All images (4)")).to_be_focused()


def test_rows_are_removed_by_key(page: Page, demo: Path, tmp_path: Path) -> None:
    send(page, write_scans(demo / "oct.jpeg", tmp_path, ["a.png", "b.png", "c.png"]))
    page.get_by_role("button", name="All images (3)").click()
    for key in ("ArrowDown", "Delete"):
        page.keyboard.press(key)
    assert names_in_table(page) == ["a.png", "c.png"]
    assert focused_row(page) == "c.png"
    for key in ("ArrowLeft", "Space"):
        page.keyboard.press(key)
    expect(page.get_by_label("Choose c.png")).to_be_checked()
    expect(page.get_by_role("button", name="Send 1 image again")).to_be_visible()


def test_a_long_name_is_shown_in_full(page: Page, demo: Path, tmp_path: Path) -> None:
    name = f"{'patient_' * 12}left_{'visit_' * 12}1.png"
    page.set_viewport_size({"width": 390, "height": 844})
    send(page, write_scans(demo / "oct.jpeg", tmp_path, [name, "other.png"]))
    shown = page.locator(".gallery .name").first
    assert (
        shown.evaluate("name => name.scrollWidth <= name.clientWidth && getComputedStyle(name).overflow") == "visible"
    )
    page.get_by_role("button", name="All images (2)").click()
    expect(page.locator(".images-table .open").first).to_have_text(name)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert_accessible(page)


def test_leaving_asks_while_there_are_results(page: Page) -> None:
    asked: list[str] = []

    def stay(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    ask = "dispatchEvent(new Event('beforeunload', { cancelable: true })) === false"
    page.wait_for_selector(".welcome")
    assert not page.evaluate(ask)
    page.get_by_role("button", name="Try the demo image of oct").click()
    page.wait_for_selector(".bars")
    assert page.evaluate(ask)
    page.once("dialog", stay)
    with page.expect_event("dialog"):
        page.close(run_before_unload=True)
    assert asked == ["beforeunload"]
    page.get_by_role("button", name="Remove oct.jpeg").click()
    page.wait_for_selector(".welcome")
    assert not page.evaluate(ask)


def test_links_that_leave_the_page_open_a_tab(page: Page) -> None:
    link = page.get_by_role("link", name="API documentation (opens in a new tab)")
    with page.expect_popup() as popup:
        link.click()
    assert popup.value.evaluate("window.opener") is None
    popup.value.close()
    expect(page.locator(".welcome")).to_be_visible()
