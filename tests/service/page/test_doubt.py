"""An answer that is not to be relied on says so wherever it is shown, and in what is taken away of it."""

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.service.page.changes import changed
from tests.service.page.scans import write_scans
from tests.service.page.waiting import wait_for_picture

SHIFT = {"score": 3.5, "percentile": 99.1, "blocks": [{"block": "input", "score": 3.5}]}
KINDS: dict[str, tuple[dict[str, Any], str, str]] = {
    "out of scope": (
        {"scope": {"verdict": "out of scope", "reason": "The file is a CT."}},
        "The model is not made for this kind of image.",
        "This model is not made for this image. The file is a CT.",
    ),
    "unlike": (
        {"style_shift": SHIFT | {"verdict": "unlike"}},
        "The image is unlike those the model was trained on: don't rely on the finding.",
        "The image is unlike those this model was trained on. Don't rely on the finding below.",
    ),
    "unusual": (
        {"style_shift": SHIFT | {"verdict": "unusual"}},
        "The image looks unusual to the model: check the finding before you use it.",
        "The image looks unusual to this model.",
    ),
}


@pytest.fixture(params=[*KINDS, "usual"])
def kind(request: pytest.FixtureRequest, page: Page, demo: Path, tmp_path: Path) -> str:
    """What speaks against the answers on two images that the page has."""
    if request.param != "usual":
        changed(page, **KINDS[request.param][0])
        images = write_scans(demo / "oct.jpeg", tmp_path, ["a.png", "b.png"])
    else:
        images = [tmp_path / "a.jpeg", tmp_path / "b.jpeg"]
        for path in images:
            path.write_bytes((demo / "oct.jpeg").read_bytes())
    page.set_input_files("#file", images)
    expect(page.locator(".gallery li img.thumbnail")).to_have_count(2)
    wait_for_picture(page)
    return str(request.param)


def grey(page: Page, selector: str) -> bool:
    """Whether the first such element has the colour of what matters less."""
    return bool(
        page.locator(selector).first.evaluate(
            """element => {
                const probe = Object.assign(document.createElement("span"), { className: "muted" });
                document.body.append(probe);
                const same = getComputedStyle(element).color === getComputedStyle(probe).color;
                probe.remove();
                return same;
            }"""
        )
    )


def test_everywhere(page: Page, kind: str) -> None:
    doubtful = kind != "usual"
    assert grey(page, ".result .headline span") is doubtful
    expect(page.locator(".gallery .badge")).to_have_text([kind] * 2 if doubtful else [])
    spoken = page.get_by_role("status").filter(has_text="choroidal neovascularization, ")
    expect(spoken).to_contain_text(KINDS[kind][1] if doubtful else "%")
    expect(page.locator(".trust .verdict")).to_contain_text(KINDS[kind][2] if doubtful else "looks like the training")
    expect(page.locator(".set")).to_have_count(1 if kind in ("usual", "unusual") else 0)
    taken_away(page, kind)
    page.locator(".gallery").get_by_role("button", name="Compare with").click()
    said = page.locator(".pair .trust .verdict")
    expect(said).to_have_count(2)
    expect(said.last).to_contain_text(KINDS[kind][2] if doubtful else "looks like the training images")
    assert grey(page, ".pair .headline span") is doubtful
    for column in (1, 2):
        assert grey(page, f".differences td:nth-of-type({column})") is doubtful
    page.get_by_role("button", name="All images (2)").click()
    expect(page.locator(".images-table .badge")).to_have_text([kind] * 2 if doubtful else [])
    assert grey(page, ".images-table [data-title=Probability] span") is doubtful


def taken_away(page: Page, kind: str) -> None:
    """Check the CSV and the PNG file of the open image."""
    bar = page.get_by_role("group", name="Take away")
    with page.expect_download() as download:
        bar.get_by_role("button", name="CSV").click()
    [row] = csv.DictReader(io.StringIO(download.value.path().read_text("utf-8-sig")))
    assert kind in (row["style_verdict"], row["scope"])
    with page.expect_download() as download:
        bar.get_by_role("button", name="PNG").click()
    with Image.open(download.value.path()) as picture:
        height = picture.height
    lines = 3 + (kind != "usual")  # the finding, the warning, whose evidence the lines are, the notice
    drawn: Any = page.locator("canvas.picture").first.evaluate("canvas => canvas.height")
    assert height == int(drawn + 30 * (lines + 0.7))
