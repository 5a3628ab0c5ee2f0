"""The requests that a result can be copied as run as they are, and get the answer that the page shows."""

import json
import os
import subprocess
import sys
from ast import literal_eval
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import BrowserContext, Page, expect

from service.settings import SHIPPED_REPOSITORY
from tests.models.preprocessing.dicom_files import TOMOGRAPHY, dicom
from tests.models.preprocessing.image_files import noise
from tests.ports import free_port
from tests.service.process import running

KEY = "the-key"
NAME = """it's "a" scan \N{EN DASH} 1.jpeg"""


@pytest.fixture(scope="module", params=["open", "guarded"])
def guarded(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "guarded")


@pytest.fixture(scope="module")
def service(guarded: bool) -> Iterator[str]:
    variables = {"RETINA_AUTH": "required", "RETINA_ADMIN_KEY": KEY} if guarded else {}
    variables["RETINA_GRPC_PORT"] = str(free_port())
    with running(SHIPPED_REPOSITORY, RETINA_PROVIDER="cpu", **variables) as (_, address, _):
        yield address


@pytest.fixture
def expected_errors() -> list[str]:
    return ["401"]


@pytest.fixture
def ready(page: Page, context: BrowserContext, guarded: bool) -> Page:
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    if guarded:
        page.get_by_label("API key").fill(KEY)
        page.get_by_label("API key").press("Enter")
    page.wait_for_selector(".welcome")
    return page


def copied(page: Page, name: str) -> str:
    bar = page.get_by_role("group", name="Take away")
    bar.get_by_text(name, exact=True).click()
    expect(bar.get_by_role("radio", name=name, exact=True)).to_be_checked()
    bar.get_by_role("button", name=f"Copy as {name}", exact=True).click()
    expect(bar.get_by_role("status")).to_have_text("Copied")
    text: str = page.evaluate("navigator.clipboard.readText()")
    assert KEY not in text
    return text


def run(text: str, folder: Path, *command: str, key: bool) -> str:
    variables = {name: value for name, value in os.environ.items() if name != "RETINA_API_KEY"}
    ran = subprocess.run(
        [*command, text],
        cwd=folder,
        env=variables | ({"RETINA_API_KEY": KEY} if key else {}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def probabilities(answer: dict[str, Any]) -> dict[str, float]:
    return {each["label"]: each["probability"] for each in answer["predictions"][0]["probabilities"]}


@pytest.mark.parametrize("source", ["a file", "the demo image"])
def test_they_run_and_get_the_same_answer(
    ready: Page, service: str, demo: Path, tmp_path: Path, guarded: bool, source: str
) -> None:
    (tmp_path / NAME).write_bytes((demo / "oct.jpeg").read_bytes())
    if source == "a file":
        ready.set_input_files("#file", tmp_path / NAME)
    else:
        ready.get_by_role("button", name="Try the demo image of oct").click()
    ready.wait_for_selector(".exports")
    expected = httpx.post(
        f"{service}/v1/models/oct/predict",
        content=(demo / "oct.jpeg").read_bytes(),
        headers={"Content-Type": "image/jpeg", "Authorization": f"Bearer {KEY}"},
    ).json()
    wanted = probabilities(expected)
    for name, command in (("curl", ("sh", "-c")), ("Python", (sys.executable, "-c"))):
        answer = json.loads(run(copied(ready, name), tmp_path, *command, key=guarded))
        assert probabilities(answer) == pytest.approx(wanted, abs=1e-6), name
        assert answer["predictions"][0]["class_activation"]["labels"] == list(wanted)
        assert answer["model"] == expected["model"]
    for name in ("tritonclient", "tritonclient, gRPC"):
        triton = run(copied(ready, name), tmp_path, sys.executable, "-c", key=guarded)
        assert literal_eval(triton) == pytest.approx(wanted, abs=1e-6), name


def test_a_frame_is_asked_for_and_the_protocol_without_frames_is_not_offered(
    ready: Page, tmp_path: Path, guarded: bool
) -> None:
    (tmp_path / "volume.dcm").write_bytes(dicom(noise(5, 40, 60), frames=5, SOPClassUID=TOMOGRAPHY))
    ready.set_input_files("#file", tmp_path / "volume.dcm")
    bar = ready.get_by_role("group", name="Take away")
    expect(bar.get_by_role("radio", name="tritonclient")).to_have_count(2)
    ready.get_by_label("Frame", exact=True).fill("2")
    expect(bar.get_by_role("radio", name="tritonclient")).to_have_count(0)
    answer = json.loads(run(copied(ready, "Python"), tmp_path, sys.executable, "-c", key=guarded))
    assert answer["predictions"][0]["image"]["frame"] == 2
