"""What failed, in a sentence for the person who sent the file; the service's own words are under "Details"."""

import ast
import io
import itertools
import time
from pathlib import Path
from typing import Any, get_args

import pytest
from PIL import Image
from playwright.sync_api import FilePayload, Page, expect

from models.preprocessing import ImageFault
from tests.models.preprocessing.image_files import noise
from tests.service.process import ROOT


@pytest.fixture
def expected_errors() -> list[str]:
    return ["400", "413", "415", "418", "422", "429", "500", "502", "503", "net::ERR"]


def codes() -> set[str]:
    """Every code of a problem document, as the service's source names them."""
    found = set(get_args(ImageFault))
    for path in (ROOT / "service").rglob("*.py"):
        if path.is_relative_to(ROOT / "service" / "rpc"):  # no browser speaks gRPC
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            place = {"ProblemError": 1, "overload": 0}.get(name, len(node.args))
            if place < len(node.args) and isinstance(code := node.args[place], ast.Constant):
                found.add(code.value)
    return found


def test_each_problem_of_the_service_has_a_sentence(page: Page) -> None:
    known = "const {known} = await import('/static/reasons.js'); return codes.filter(code => !known(code))"
    assert {"frame", "queue-full", "rate-limited", "no-report", "too-many-uploads"} <= codes()
    assert page.evaluate(f"async codes => {{ {known} }}", sorted(codes())) == []


def send(page: Page, data: bytes, name: str = "image.png") -> None:
    payload: FilePayload = {"name": name, "mimeType": "", "buffer": data}
    page.set_input_files("#file", payload)


@pytest.mark.parametrize(
    ("fault", "said", "advice", "details"),
    [
        ("empty", "This file is empty.", "choose the new one", "0 bytes"),
        ("unrecognised", "not an image that can be read here", "Choose a JPEG, PNG, TIFF", "status 415"),
        ("damaged", "damaged or incomplete", "Copy or export it again", "status 422"),
    ],
)
def test_a_bad_file(page: Page, demo: Path, fault: str, said: str, advice: str, details: str) -> None:
    whole = (demo / "oct.jpeg").read_bytes()
    send(page, {"empty": b"", "unrecognised": b"no image", "damaged": whole[: len(whole) // 2]}[fault])
    alert = page.get_by_role("alert")
    expect(alert.locator("strong")).to_contain_text(said)
    expect(alert).to_contain_text(advice)
    expect(page.locator(".gallery .fault")).to_contain_text(said)
    expect(alert.get_by_text(details)).to_be_hidden()
    alert.locator("summary").click()
    expect(alert.get_by_text(details)).to_be_visible()
    expect(alert).to_contain_text(f"code {fault}")


def test_a_frame_that_the_file_does_not_have(page: Page) -> None:
    pages = [Image.fromarray(picture) for picture in noise(2, 40, 60)]
    stream = io.BytesIO()
    pages[0].save(stream, "TIFF", save_all=True, append_images=pages[1:])
    send(page, stream.getvalue(), "scan.tif")
    number = page.get_by_label("Page", exact=True)
    number.fill("9")
    page.get_by_role("radio", name="Colours").dispatch_event("click")  # the result is drawn anew
    expect(page.locator(".legend canvas.dark")).to_be_visible()
    expect(number).to_have_value("9")
    number.press("Enter")
    expect(page.get_by_text("This file does not have that frame.").last).to_be_visible()
    expect(page.get_by_text("Choose another frame.")).to_be_visible()


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (413, "body-too-large", "This file is too large."),
        (422, "out-of-scope", "not the kind of image that this model is for"),
        (500, "internal", "The service failed."),
        (413, None, "This file is too large."),  # as nginx answers: a page, without a code
        (502, None, "The service can't be reached."),
        (418, None, "The service could not do this."),
    ],
)
def test_an_answer_of_the_service_or_of_a_proxy(
    page: Page, demo: Path, status: int, code: str | None, said: str
) -> None:
    document = {"type": f"urn:retina-srm:problem:{code}", "title": "Title", "detail": "For programmers.", "id": "a1b2"}

    def refuse(route: Any) -> None:
        if code:
            route.fulfill(status=status, json=document, content_type="application/problem+json")
        else:
            route.fulfill(status=status, body="<h1>nginx</h1>", content_type="text/html")

    page.route("**/predict?*", refuse)
    page.set_input_files("#file", demo / "oct.jpeg")
    alert = page.get_by_role("alert")
    expect(alert.locator("strong")).to_contain_text(said)
    alert.locator("summary").click()
    expect(alert).to_contain_text("Title: For programmers." if code else f"status {status}")
    if code:
        expect(alert).to_contain_text("request a1b2")


@pytest.mark.parametrize("proxy", [False, True])
def test_a_service_that_is_away_at_the_start(page: Page, proxy: bool) -> None:
    """The page tries again by itself, ever less often, and opens when the service answers."""
    tries: list[float] = []
    page.clock.install()

    def away(route: Any) -> None:
        tries.append(page.evaluate("performance.now()") / 1000)
        if proxy:
            route.fulfill(status=502, body="Bad Gateway", content_type="text/html")
        else:
            route.abort()

    page.route("**/v1/models", away)
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text("The service can't be reached.")
    expect(page.get_by_role("alert")).to_contain_text("tries again by itself and opens as soon as the service answers")
    deadline = time.monotonic() + 30
    while len(tries) < 4:
        assert time.monotonic() < deadline, "it does not try again by itself"
        page.clock.run_for(250)
    first, second, third = (later - earlier for earlier, later in itertools.pairwise(tries))
    assert second - first > 0.5  # 1, 2 and 4 s, and what an attempt takes
    assert third - second > 1
    page.unroute("**/v1/models")
    page.clock.run_for(10_000)
    expect(page.locator(".welcome")).to_be_visible()
    expect(page.locator(".outage")).to_have_count(0)


def test_trying_now_does_not_wait(page: Page) -> None:
    page.route("**/v1/models", lambda route: route.abort())
    page.clock.install()
    page.reload()
    page.wait_for_selector(".outage")
    page.unroute("**/v1/models")
    page.get_by_role("button", name="Try now").click()
    expect(page.locator(".welcome")).to_be_visible()


def test_a_failure_that_waiting_does_not_help(page: Page) -> None:
    page.route("**/v1/models", lambda route: route.fulfill(status=500, json={"title": "Internal Server Error"}))
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text("The service could not do this.")
    expect(page.get_by_text("tries again by itself")).to_have_count(0)
    page.unroute("**/v1/models")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".welcome")).to_be_visible()


def test_a_card_that_can_t_be_read_can_be_asked_for_again(page: Page, service: str) -> None:
    page.route("**/versions/3/card", lambda route: route.fulfill(status=503, body=""))
    page.goto(f"{service}/models")
    section = page.get_by_role("region", name="oct, version 3")
    expect(section.get_by_role("alert")).to_contain_text("The service is busy.")
    page.unroute("**/versions/3/card")
    section.get_by_role("button", name="Try again").click()
    expect(section.get_by_role("heading", name="Limits")).to_be_visible()
