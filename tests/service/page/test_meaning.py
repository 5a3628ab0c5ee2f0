"""What /models says of a version before its metrics. Expected figures are counted from the card here."""

from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

Card = dict[str, Any]
Z = 1.959964
NONE = "\N{EN DASH}"


@pytest.fixture
def card(service: str) -> Card:
    found: Card = httpx.get(f"{service}/v1/models/oct/card").json()
    return found


@pytest.fixture
def shown(page: Page, service: str) -> Callable[[Card], Locator]:
    """Open /models with this card for oct; the section of it."""

    def show(card: Card) -> Locator:
        page.route("**/v1/models/oct/versions/3/card", lambda route: route.fulfill(json=card))
        page.goto(f"{service}/models")
        section = page.get_by_role("region", name="oct, version 3")
        expect(section.get_by_role("heading", name="Limits")).to_be_visible()
        return section

    return show


def score_interval(found: int, images: int) -> list[float]:
    """The shares p with (found / images - p)^2 = z^2 p (1 - p) / images: Wilson's interval by its definition."""
    share = found / images
    return sorted(np.roots([1 + Z**2 / images, -(2 * share + Z**2 / images), share**2]).real.tolist())


def test_the_meaning_comes_before_the_metrics(card: Card, shown: Callable[[Card], Locator]) -> None:
    section = shown(card)
    assert section.get_by_role("heading", level=3).all_inner_texts() == [
        "Intended use",
        "Limits",
        "How often it was right",
        "How much of each class it finds",
        "The labels that it can't rule out",
        "Images that it does not know",
        "What it takes for what, and how honest its probabilities are",
        "Images it was made with",
        "All metrics",
    ]
    text = section.inner_text()
    first = [
        text.index(part) for part in (card["description"], card["limits"][0], "Right in", "Sensitivity", "Macro AUC")
    ]
    assert first == sorted(first)


def test_how_often_it_was_right(card: Card, shown: Callable[[Card], Locator]) -> None:
    section = shown(card)
    confusion = np.array(card["measured"]["confusion"])
    figures = {result["metric"]: result for result in card["measured"]["results"]}
    low, high = figures["accuracy"]["interval"]
    expect(section.locator(".figure")).to_have_text(
        f"Right in {confusion.trace()} of {confusion.sum()} test images "
        f"{100 * confusion.trace() / confusion.sum():.1f} % (95 % interval {100 * low:.1f} to {100 * high:.1f} %)"
    )
    counts = ", ".join(f"{row.sum()} {label}" for row, label in zip(confusion, card["labels"], strict=True))
    expect(section.get_by_text(f"The figure stands at their own class frequencies: {counts}.")).to_contain_text(
        f"To call every image “normal” would be right in {confusion[3].sum()}."
    )
    alike = confusion.diagonal() / confusion.sum(axis=1)
    expect(section.get_by_text("If all classes were equally frequent")).to_contain_text(f"{100 * alike.mean():.1f} %")


def test_how_much_of_each_class_it_finds(card: Card, shown: Callable[[Card], Locator]) -> None:
    rows = shown(card).locator(".sensitivities tbody tr")
    expect(rows).to_have_count(4)
    for i, row in enumerate(card["measured"]["confusion"]):
        low, high = score_interval(row[i], sum(row))
        expect(rows.nth(i)).to_contain_text(card["labels"][i])
        expect(rows.nth(i)).to_contain_text(f"{row[i]} of {sum(row)}")
        expect(rows.nth(i)).to_contain_text(f"{100 * low:.1f} to {100 * high:.1f} %")


def test_prediction_sets_and_splits(page: Page, card: Card, shown: Callable[[Card], Locator]) -> None:
    section = shown(card)
    sets = section.locator("section").filter(has_text="The labels that it can't rule out")
    expect(sets).to_contain_text(
        "made to hold the right label for 90 % of images. On 288 test images they did so for 94.8 %"
    )
    expect(sets).to_contain_text("They held it least often for “diabetic macular edema”: 82.4 %.")
    expect(sets).not_to_contain_text("fewer than they were made for")
    fewer = page.get_by_role("region", name="dr, version 1").get_by_text("That is fewer than they were made for.")
    expect(fewer).to_be_visible()  # 61.8 to 78.4 % where 90 % were wanted
    for i, label in enumerate(card["labels"]):
        row = section.locator(".counts tbody tr").nth(i)
        of = [str(card["training_data"]["counts"][split][label]) for split in ("train", "val", "test")]
        assert [cell.strip() for cell in row.locator("th, td").all_inner_texts()] == [label, *of]
    assert section.locator(".counts tfoot td").all_inner_texts() == ["972", "155", "288"]


def test_data_of_another_origin_and_grades(page: Page, service: str) -> None:
    page.goto(f"{service}/models")
    section = page.get_by_role("region", name="dr, version 1")
    expect(section.locator(".elsewhere")).to_contain_text("right in 2,111 of 3,599 images, 58.7 %")
    expect(section.locator(".elsewhere")).to_contain_text("If all classes were equally frequent: 29.2 %")
    confusion = np.array(httpx.get(f"{service}/v1/models/dr/card").json()["measured"]["confusion"])
    off = np.abs(np.subtract.outer(range(5), range(5)))
    words = f"Of the 45 others, {confusion[off == 1].sum()} were one grade off and {confusion[off > 1].sum()} further."
    expect(section.get_by_text(words)).to_be_visible()


def test_the_overview_has_the_meaning_first(page: Page, service: str) -> None:
    page.goto(f"{service}/models")
    table = page.locator(".overview")
    expect(table).to_be_visible()
    heads = table.locator("thead th").all_inner_texts()
    assert heads[:4] == ["Model", "Right in", "Finds of each class", "Style shift warns falsely"]
    row = table.locator("tbody tr").filter(has_text="oct")
    expect(row.locator("td").nth(0)).to_contain_text("268 of 288")
    expect(row.locator("td").nth(1)).to_contain_text("66.7 % to 98.7 %")
    expect(row.locator("td").nth(1)).to_contain_text("drusen to normal")
    expect(row.locator("td").nth(2)).to_contain_text("6.9 %")


def test_an_earlier_card_leaves_out_what_it_does_not_hold(
    page: Page, card: Card, shown: Callable[[Card], Locator]
) -> None:
    kept = ("accuracy", "macro_auc")
    measured = card["measured"] | {
        "confusion": None,
        "reliability": None,
        "effective_images": None,
        "perturbations": None,
        "results": [result for result in card["measured"]["results"] if result["metric"] in kept],
    }
    none = {"schema_version": 1, "conformal": None, "style": None, "scope": None, "initial_weights": None}
    section = shown(card | none | {"measured": measured})
    expect(section.locator(".figure")).to_contain_text("Right in 268 of 288 test images")
    expect(section.get_by_text("The figure stands at their own class frequencies")).to_be_visible()
    assert section.get_by_role("heading", level=3).all_inner_texts() == [
        "Intended use",
        "Limits",
        "How often it was right",
        "Images it was made with",
        "All metrics",
    ]
    for words in ("equally frequent", "Made for one kind", "null", "undefined", "NaN"):
        assert words not in section.inner_text()
    cells = page.locator(".overview tbody tr").filter(has_text="oct").locator("td").all_inner_texts()
    assert [cell.split("\n")[0] for cell in cells] == ["268 of 288", NONE, NONE, NONE, "0.986", NONE, NONE]


def test_an_accuracy_of_no_whole_number_of_images_is_a_share(card: Card, shown: Callable[[Card], Locator]) -> None:
    [accuracy, *others] = card["measured"]["results"]
    results = [accuracy | {"value": 0.9321}, *others]
    counts = {split: of for split, of in card["training_data"]["counts"].items() if split != "test"}
    data = card["training_data"] | {"counts": counts}
    measured = card["measured"] | {"confusion": None, "results": results, "seeds": 3}
    section = shown(card | {"measured": measured, "training_data": data})
    expect(section.locator(".figure")).to_have_text("Right in 93.2 % of 288 test images")
    expect(section.get_by_text("The figure stands at the class frequencies of these images.")).to_be_visible()


def test_metrics_are_explained_and_the_technical_part_is_folded(card: Card, shown: Callable[[Card], Locator]) -> None:
    section = shown(card)
    for row in section.locator(".intervals tbody th").all():
        name, meaning = row.inner_text().split("\n")
        assert len(name) > 2
        assert len(meaning) > 20
    digest = section.get_by_text("sha256:")
    expect(digest).to_be_hidden()
    section.get_by_text("Technical details").click()
    expect(digest).to_be_visible()
    expect(section.get_by_text(card["initial_weights"]["sha256"])).to_be_visible()
    changes = section.locator(".changes tbody tr")
    expect(changes.first).to_be_hidden()
    section.get_by_text("What ordinary changes of an image cost").click()
    expect(changes).to_have_count(len(card["measured"]["perturbations"]))
    expect(changes.first).to_contain_text("inverted")
