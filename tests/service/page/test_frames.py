"""DICOM volumes and TIFF pages: a slider over the frames, the probabilities over them, a way on from a wrong one."""

import io
import re
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import FilePayload, Page, expect

from tests.models.preprocessing.dicom_files import TOMOGRAPHY, dicom
from tests.models.preprocessing.image_files import noise
from tests.service.page.accessibility import assert_accessible

FRAMES = 5
VOLUME = noise(FRAMES, 40, 60)


@pytest.fixture
def volume() -> FilePayload:
    data = dicom(VOLUME, frames=FRAMES, SOPClassUID=TOMOGRAPHY, ImageLaterality="L")
    return {"name": "volume.dcm", "mimeType": "", "buffer": data}


def test_a_volume_is_drawn_by_the_service_frame_by_frame(page: Page, volume: FilePayload) -> None:
    page.set_input_files("#file", volume)
    expect(page.get_by_text("DICOM · 60 \N{MULTIPLICATION SIGN} 40 · left eye")).to_be_visible()
    expect(page.locator("output[for=frame]")).to_have_text("3 of 5")
    expect(page.get_by_text("Drawn by the service")).to_be_visible()
    drawings: list[bytes] = []

    def note(route: Any) -> None:
        response = route.fetch()
        drawings.append(response.body())
        route.fulfill(response=response)

    page.route("**/preview?frame=5", note)
    page.get_by_label("Frame", exact=True).focus()
    page.keyboard.press("End")
    expect(page.locator("output[for=frame]")).to_have_text("5 of 5")
    expect(page.locator(".result[aria-busy=false]")).to_be_visible()
    with Image.open(io.BytesIO(drawings[0])) as drawn:
        np.testing.assert_array_equal(np.asarray(drawn), VOLUME[4])


def test_the_probabilities_over_all_frames_are_the_services(page: Page, service: str, volume: FilePayload) -> None:
    page.set_input_files("#file", volume)
    page.get_by_role("button", name="Classify all 5 frames").click()
    expect(page.get_by_role("button", name="Classify all")).to_have_count(0)
    expect(page.get_by_role("progressbar", name="Frames that are classified")).to_have_count(0)
    headers = {"Content-Type": "application/dicom"}
    answers = [
        httpx.post(f"{service}/v1/models/oct/predict?frame={n}", content=volume["buffer"], headers=headers).json()
        for n in range(1, FRAMES + 1)
    ]
    by_frame = [{e["label"]: e["probability"] for e in a["predictions"][0]["probabilities"]} for a in answers]
    peaks = sorted(((max(f[label] for f in by_frame), label) for label in by_frame[0]), reverse=True)[:3]
    plot = page.get_by_role("img", name="Probabilities by frame")
    for number, (peak, label) in enumerate(peaks):
        values = [frame[label] for frame in by_frame]
        words = f"{label} at most {100 * peak:.1f}\N{NO-BREAK SPACE}%, in frame {values.index(peak) + 1}"
        assert words in (plot.get_attribute("aria-label") or "")
        drawn = re.findall(r"[ML]([\d.]+) ([\d.]+)", plot.locator(f".line-{number}").get_attribute("d") or "")
        expected = [(120 * (n + 0.5), 90 * (1 - value)) for n, value in enumerate(values)]
        np.testing.assert_allclose(np.array(drawn, dtype=float), expected, atol=0.06)
    assert plot.locator(".unlike").count() == FRAMES, "noise is unlike a scan"
    assert_accessible(page)
    box = plot.bounding_box()
    assert box is not None
    plot.click(position={"x": 0.3 * box["width"], "y": box["height"] / 2})
    expect(page.locator("output[for=frame]")).to_have_text("2 of 5")
    expect(page.locator(".result[aria-busy=false]")).to_be_visible()
    expect(plot).to_be_visible()


def test_a_frame_that_fails_leaves_the_others_and_a_way_on(
    page: Page, volume: FilePayload, expected_errors: list[str]
) -> None:
    expected_errors.append("422")
    page.set_input_files("#file", volume)

    def refuse(route: Any) -> None:
        route.fulfill(
            status=422, json={"type": "urn:retina-srm:problem:damaged", "status": 422, "title": "", "detail": ""}
        )

    page.route("**/predict?weights=none&frame=4", refuse)
    page.get_by_role("button", name="Classify all 5 frames").click()
    expect(page.get_by_role("alert")).to_contain_text("The frames could not all be classified")
    page.unroute("**/predict?weights=none&frame=4")
    page.get_by_role("button", name="Classify all 5 frames").click()
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(page.get_by_role("button", name="Classify all")).to_have_count(0)


def test_a_page_that_is_not_there_is_no_dead_end(page: Page, expected_errors: list[str]) -> None:
    expected_errors.append("422")
    stream = io.BytesIO()
    pages = [Image.fromarray(frame) for frame in VOLUME[:2]]
    pages[0].save(stream, "TIFF", save_all=True, append_images=pages[1:])
    page.set_input_files("#file", {"name": "scan.tif", "mimeType": "image/tiff", "buffer": stream.getvalue()})
    number = page.get_by_label("Page", exact=True)
    expect(number).to_have_value("1")
    number.fill("7")
    number.press("Enter")
    expect(page.get_by_role("alert")).to_be_visible()
    number.fill("2")
    number.press("Enter")
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(page.locator(".result[aria-busy=false]")).to_be_visible()
    expect(number).to_have_value("2")


def test_a_file_that_claims_countless_frames_gets_a_slider_alone(page: Page, volume: FilePayload) -> None:
    def claim(route: Any) -> None:
        answer = route.fetch().json()
        answer["predictions"][0]["image"]["frames"] = 2**31 - 1
        route.fulfill(json=answer)

    page.route("**/predict?weights=full*", claim)
    page.set_input_files("#file", volume)
    expect(page.locator("output[for=frame]")).to_have_text(f"3 of {2**31 - 1}")
    expect(page.get_by_role("button", name="Classify all")).to_have_count(0)
