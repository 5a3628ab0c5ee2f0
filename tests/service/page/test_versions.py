"""One image on two versions of a model, set against each other."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from playwright.sync_api import Page, expect

from models.card import Card
from models.package import write_card
from service.settings import SHIPPED_REPOSITORY
from tests.service.page.accessibility import assert_accessible
from tests.service.process import running


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service with the shipped models, and another version of one whose last layer has other weights."""
    repository = tmp_path_factory.mktemp("models") / "repository"
    shutil.copytree(SHIPPED_REPOSITORY, repository)
    other = repository / "oct" / "4" / "model.onnx"
    other.parent.mkdir()
    model = onnx.load(repository / "oct" / "3" / "model.onnx")
    card = Card.model_validate_json(next(entry.value for entry in model.metadata_props if entry.key == "card"))
    [bias] = [tensor for tensor in model.graph.initializer if tensor.name.endswith("fc.bias")]
    bias.CopyFrom(
        numpy_helper.from_array(numpy_helper.to_array(bias) + np.array([0, 2, 0, 0], dtype=np.float32), bias.name)
    )
    onnx.save(model, other)
    write_card(other, card.model_copy(update={"version": "4"}))
    with running(repository, RETINA_PROVIDER="cpu") as (_, address, _):
        yield address


def test_an_image_is_sent_to_another_version_and_compared(page: Page, service: str, demo: Path) -> None:
    page.get_by_label("Version").select_option("3")
    page.set_input_files("#file", [demo / "oct.jpeg", demo / "dr.jpeg"])
    expect(page.locator(".gallery img.thumbnail")).to_have_count(2)
    page.get_by_role("button", name="All images (2)").click()
    page.get_by_label("Choose oct.jpeg").check()
    page.get_by_label("Send the chosen images again to").select_option(label="oct, version 4")
    page.get_by_role("button", name="Send 1 image again").click()
    rows = page.locator(".images-table tbody tr")
    expect(rows).to_have_count(3)
    expect(rows.first.locator("[data-title=Model]")).to_have_text("oct 4")
    expect(rows.first.locator("[data-title=Probability]")).to_contain_text("%")
    rows.first.locator(".open").click()
    page.get_by_role("button", name="Compare with oct, version 3").click()
    expect(page.locator("canvas.picture")).to_have_count(2)
    expect(page.locator(".strip .row")).to_have_count(3 * 8)
    expect(page.get_by_text("against training")).to_be_visible()

    image = (demo / "oct.jpeg").read_bytes()
    a, b = (
        httpx.post(f"{service}/v1/models/oct/versions/{version}/predict", content=image).json()["predictions"][0]
        for version in (4, 3)
    )
    first = a["probabilities"][0]["probability"], b["probabilities"][0]["probability"]
    shown = page.locator(".differences tbody tr").first.locator("td").all_inner_texts()
    assert [text.split("\u00a0")[0] for text in shown[:2]] == [f"{100 * each:.1f}" for each in first]
    assert_accessible(page)


def test_all_that_the_filter_shows_are_sent_again(page: Page, demo: Path) -> None:
    page.set_input_files("#file", [demo / "oct.jpeg", demo / "dr.jpeg"])
    expect(page.locator(".gallery img.thumbnail")).to_have_count(2)
    page.get_by_role("button", name="All images (2)").click()
    page.get_by_label("Name").fill("oct")
    page.get_by_label("Send all shown images again to").select_option(label="dr, version 1")
    page.get_by_role("button", name="Send 1 image again").click()
    expect(page.get_by_text("2 of 3 shown")).to_be_visible()
    page.locator(".images-table .open").first.click()
    page.get_by_role("button", name="Compare with oct, version 4").click()
    expect(page.locator(".result .note").last).to_contain_text("read by different models")
    expect(page.locator(".differences")).to_have_count(0)
