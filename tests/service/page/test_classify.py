"""Images in, results out: what a person sees and does, and what the service answered meanwhile."""

import base64
import csv
import io
import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import NormalDist
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image, ImageEnhance
from playwright.sync_api import Page, Response, expect

Keep = Callable[[str], None]


def canvas_pixels(page: Page, index: int = 0) -> Any:
    """The picture with its map as they are drawn, (H, W, 4)."""
    address = (
        page.locator(".stage")
        .nth(index)
        .evaluate(
            """stage => {
            const [picture, map] = stage.querySelectorAll("canvas");
            const both = document.createElement("canvas");
            [both.width, both.height] = [picture.width, picture.height];
            for (const canvas of [picture, map]) both.getContext("2d").drawImage(canvas, 0, 0);
            return both.toDataURL();
        }"""
        )
    )
    with Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))) as picture:
        return np.array(picture)


def redrawn(page: Page, meets: Callable[[Any], bool]) -> Any:
    """The picture, once it is as it should be: a control answers before the next frame is drawn."""
    deadline = time.monotonic() + 10
    while not meets(pixels := canvas_pixels(page)):
        assert time.monotonic() < deadline, "the picture was not drawn anew"
        page.wait_for_timeout(50)
    return pixels


def shown_bars(page: Page) -> dict[str, str]:
    rows = page.locator(".bars li").all()
    return {row.locator(".label").inner_text(): row.locator(".percent").inner_text() for row in rows}


def as_percent(probability: float) -> str:
    """As the page writes it, for values that it does not round to a bound."""
    return "<\u00a00.1\u00a0%" if probability < 0.001 else f"{100 * probability:.1f}\u00a0%"


def test_an_image_gives_the_service_s_answer(page: Page, service: str, demo: Path, screenshot: Keep) -> None:
    page.set_input_files("#file", demo / "oct.jpeg")
    expect(page.get_by_role("heading", name="oct.jpeg")).to_be_visible()
    answer = httpx.post(f"{service}/v1/models/oct/predict", content=(demo / "oct.jpeg").read_bytes()).json()
    [prediction] = answer["predictions"]
    expect(page.locator(".headline")).to_contain_text(prediction["label"])
    assert shown_bars(page) == {
        each["label"]: as_percent(each["probability"])
        for each in sorted(prediction["probabilities"], key=lambda each: -each["probability"])
    }
    expect(page.get_by_text("JPEG · 529 \N{MULTIPLICATION SIGN} 256")).to_be_visible()
    expect(page.locator(".strip .row")).to_have_count(len(prediction["recalibration_weights"]))
    expect(page.locator(".facts")).to_contain_text(answer["model"]["digest"][:19])
    screenshot(f"result-{page.evaluate('matchMedia(`(prefers-color-scheme: dark)`).matches ? `dark` : `light`')}")


def test_the_overlay_follows_class_and_opacity(page: Page, demo: Path) -> None:
    page.set_input_files("#file", demo / "oct.jpeg")
    page.wait_for_selector(".map-controls")
    page.get_by_text("Colours", exact=True).click()
    page.get_by_label("Opacity").fill("0")
    with Image.open(demo / "oct.jpeg") as original:
        grey = original.convert("L")

    def is_bare(pixels: Any) -> bool:
        wanted = np.asarray(grey.resize((pixels.shape[1], pixels.shape[0])), dtype=float)
        middle = slice(pixels.shape[1] // 4 + 20, -(pixels.shape[1] // 4 + 20))  # the square that the model sees
        return bool(np.abs(pixels[:, middle, 0].astype(float) - wanted[:, middle]).mean() < 4)

    bare = redrawn(page, is_bare)
    page.get_by_label("Opacity").fill("100")
    expect(page.locator(".slider output")).to_have_text("100 %")
    full = redrawn(page, lambda pixels: not np.array_equal(pixels, bare))
    page.get_by_label("Evidence for", exact=True).select_option(label="diabetic macular edema")
    other = redrawn(page, lambda pixels: not np.array_equal(pixels, full))
    expect(page.get_by_role("img", name="oct.jpeg, with the evidence for diabetic macular edema")).to_be_visible()
    page.get_by_text("Lines", exact=True).click()
    redrawn(page, lambda pixels: not np.array_equal(pixels, other))
    page.get_by_label("Evidence for", exact=True).select_option(label="drusen")
    expect(page.get_by_text("there is nothing to draw")).to_be_visible()
    expect(page.get_by_role("img", name="oct.jpeg", exact=True)).to_be_visible()


def test_the_calibration_error_says_at_which_class_frequencies_it_is(page: Page, service: str, demo: Path) -> None:
    card = httpx.get(f"{service}/v1/models/oct/card").json()
    calibration = card["calibration"]
    page.set_input_files("#file", demo / "oct.jpeg")
    low, high = (f"{100 * end:.0f}" for end in calibration["ece_interval"])
    expect(page.get_by_text("Calibrated on the validation split, 155 images")).to_contain_text(
        f"for equally frequent classes. At these frequencies, {100 * calibration['ece_after']:.0f} (95 % interval "
        f"{low} to {high}) more or fewer of 100 findings are right than their probabilities say. Weighted to these "
        f"frequencies, the images are worth {calibration['effective_images']:.0f}."
    )


def test_the_calibration_error_of_an_earlier_card_is_at_validations_frequencies(page: Page, demo: Path) -> None:
    def older(route: Any) -> None:
        card = route.fetch().json()
        card["calibration"] |= {"ece_after": 0.027, "ece_interval": None, "effective_images": None}
        route.fulfill(json=card)

    page.route("**/v1/models/oct/versions/3/card", older)
    page.reload()  # the page has asked for the card already
    page.set_input_files("#file", demo / "oct.jpeg")
    expect(page.get_by_text("Calibrated on the validation split, 155 images")).to_contain_text(
        "At the validation images' own class frequencies they are off by 2.7 % on average."
    )


def test_a_prediction_set_says_how_often_such_sets_were_right(page: Page, service: str, demo: Path) -> None:
    measured = httpx.get(f"{service}/v1/models/oct/card").json()["conformal"]["measured"]
    page.set_input_files("#file", demo / "oct.jpeg")
    kept = f"on 288 test images they did so for {100 * measured['coverage']:.0f} %"
    expect(page.locator(".set")).to_contain_text(f"made to hold the truth for 90 % of images; {kept}.")


@pytest.mark.parametrize("strange", [False, True])
def test_gates_are_shown_against_training(page: Page, service: str, demo: Path, strange: bool) -> None:
    """Gates that chance explains are not named; one that was changed on the way is."""
    card = httpx.get(f"{service}/v1/models/oct/card").json()
    reference, block = card["gate_reference"], card["blocks"][4]

    def change(route: Any) -> None:
        answer = route.fetch().json()
        if strange:
            at = block["offset"] + 7
            value = reference["mean"][at] - 5.5 * max(reference["std"][at], 1e-3)
            answer["predictions"][0]["recalibration_weights"][block["name"]][7] = value
        route.fulfill(json=answer)

    page.route("**/predict?weights=full*", change)
    page.set_input_files("#file", demo / "oct.jpeg")
    page.wait_for_selector(".outstanding")
    image = (demo / "oct.jpeg").read_bytes()
    [prediction] = httpx.post(f"{service}/v1/models/oct/predict", content=image).json()["predictions"]
    weights = prediction["recalibration_weights"]
    deviations = (np.concatenate(list(weights.values())) - reference["mean"]) / np.maximum(reference["std"], 1e-3)
    bound = NormalDist().inv_cdf(1 - 0.05 / (2 * len(deviations)))
    assert np.abs(deviations).max() < bound
    note = page.locator(".outstanding")
    if strange:
        expect(note).to_contain_text(f"One gate differs by more than \N{PLUS-MINUS SIGN}{bound:.1f} SD")
        found = note.get_by_role("button")
        expect(found).to_have_text(f"{block['name']}, channel 7 \N{MINUS SIGN}5.5 SD")
        found.click()
        expect(page.locator(".reading")).to_contain_text(f"{block['name']}, channel 7 of")
    else:
        largest = deviations[np.abs(deviations).argmax()]
        expect(note).to_contain_text(f"Nothing unusual: of {len(deviations)} gates the largest difference")
        expect(note).to_contain_text(f"{largest:.1f} SD".replace("-", "\N{MINUS SIGN}"))
    page.locator(".row").nth(2).hover(position={"x": 1, "y": 5})
    expect(page.locator(".reading")).to_contain_text("layer2.0, channel 0 of 0\N{EN DASH}63")
    expect(page.locator(".reading")).to_contain_text(f"gate {weights['layer2.0'][0]:.3f}")
    page.get_by_text("gate", exact=True).click()
    mean = np.mean(weights["layer1.0"])
    expect(page.locator(".average").first).to_have_text(f"{mean:.2f}")


def test_several_images_and_a_comparison(
    page: Page, demo: Path, tmp_path: Path, screenshot: Keep, expected_errors: list[str]
) -> None:
    with Image.open(demo / "oct.jpeg") as image:
        ImageEnhance.Brightness(image).enhance(0.5).save(tmp_path / "dark.png")
    (tmp_path / "broken.png").write_bytes(b"no image")
    expected_errors.append("415")
    page.set_input_files("#file", [demo / "oct.jpeg", tmp_path / "dark.png", tmp_path / "broken.png"])
    rows = page.locator(".gallery li")
    expect(rows.locator("img.thumbnail")).to_have_count(2)
    expect(rows.nth(2)).to_contain_text("not an image that can be read here")
    page.get_by_role("button", name="Compare with dark.png").click()
    expect(page.get_by_role("heading", name="Two images compared")).to_be_visible()
    expect(page.locator("canvas.picture")).to_have_count(2)
    expect(page.locator(".strip .row")).to_have_count(3 * 8)
    readings = []
    for row in range(3):
        page.locator(".row").nth(row).hover(position={"x": 1, "y": 5})
        expect(page.locator(".reading")).to_contain_text("layer1.0, channel 0 of")
        readings.append(page.locator(".reading").inner_text().replace("\N{MINUS SIGN}", "-"))
    gate_a, gate_b = (float(text.split("gate ")[1].split(";")[0]) for text in readings[:2])
    sd_a, sd_b = (float(text.split("so ")[1].split(" SD")[0]) for text in readings[:2])
    gates, sds = readings[2].split("B - A ")[1].removesuffix(" SD").split(", ")
    assert (float(gates), float(sds)) == pytest.approx((gate_b - gate_a, sd_b - sd_a), abs=0.011)
    page.get_by_text("gate", exact=True).click()
    expect(page.locator(".strip .row")).to_have_count(2 * 8)
    differences = page.locator(".differences tbody tr").first.locator("td").all_inner_texts()
    a, b, difference = (
        float(text.split("\u00a0")[0].split(" ")[0].replace("\N{MINUS SIGN}", "-")) for text in differences
    )
    assert difference == pytest.approx(b - a, abs=0.11)
    screenshot("comparison")

    rows.nth(2).locator(".open").click()
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("Choose a JPEG, PNG, TIFF, BMP, WebP or DICOM file.")
    expect(alert.get_by_role("button", name="Try again")).to_be_visible()
    page.get_by_role("button", name="Remove broken.png").click()
    expect(rows).to_have_count(2)

    with page.expect_download() as download:
        page.get_by_role("button", name="All as CSV").click()
    table = list(csv.DictReader(io.StringIO(download.value.path().read_text("utf-8-sig"))))
    assert [row["file"] for row in table] == ["oct.jpeg", "dark.png"]
    probabilities = [float(value) for name, value in table[0].items() if name.startswith("p(")]
    assert sum(probabilities) == pytest.approx(1, abs=1e-5)
    assert {row["model"] for row in table} == {"oct"}


def test_results_stay_while_one_looks_at_the_models(page: Page) -> None:
    page.get_by_role("button", name="Try the demo image of oct").click()
    page.wait_for_selector(".bars")
    page.get_by_role("link", name="Models").click()
    expect(page.get_by_role("heading", name="Models", exact=True)).to_be_visible()
    page.go_back()
    expect(page.locator(".bars li")).to_have_count(4)


def test_take_away(page: Page, demo: Path, service: str) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.set_input_files("#file", demo / "dr.jpeg")
    page.wait_for_selector(".bars")
    page.get_by_role("button", name="Copy as curl").click()
    expect(page.get_by_role("status").filter(has_text="Copied")).to_be_visible()
    command = page.evaluate("navigator.clipboard.readText()")
    assert command.startswith("curl -sS -H 'Content-Type: image/jpeg' --data-binary @'dr.jpeg' ")
    assert f"'{service}/v1/models/oct/versions/3/predict?weights=full&activation_map=true'" in command
    bar = page.get_by_role("group", name="Take away")
    with page.expect_download() as download:
        bar.get_by_role("button", name="JSON").click()
    assert json.loads(download.value.path().read_text())["model"]["name"] == "oct"
    with page.expect_download() as download:
        bar.get_by_role("button", name="PNG").click()
    with Image.open(download.value.path()) as picture:
        assert (picture.format, picture.width) == ("PNG", 1024)


def test_a_package_with_prediction_sets(page: Page, demo: Path, screenshot: Keep) -> None:
    """The answer is the service's own, with what a package may have besides."""

    def add(route: Any) -> None:
        response: Response = route.fetch()
        answer = response.json()
        answer["predictions"][0] |= {"prediction_set": {"coverage": 0.9, "labels": ["drusen", "normal"]}}
        route.fulfill(response=response, json=answer)

    page.route("**/predict?*", add)
    page.set_input_files("#file", demo / "oct.jpeg")
    expect(page.locator(".set")).to_contain_text("drusen, normal")
    expect(page.locator(".set")).to_contain_text("90 % of images")
    screenshot("prediction-set")


def test_a_service_that_went_away(page: Page, demo: Path, expected_errors: list[str]) -> None:
    expected_errors.append("net::ERR")
    page.route("**/predict?*", lambda route: route.abort())
    page.set_input_files("#file", demo / "oct.jpeg")
    expect(page.get_by_role("alert")).to_contain_text("The service can't be reached")
    page.unroute("**/predict?*")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".bars li")).to_have_count(4)
