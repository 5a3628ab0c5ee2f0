"""The images' own labels, from folders or a table: figures against them, and the files that hold them."""

import csv
import io
from pathlib import Path
from statistics import NormalDist
from typing import Any

import httpx
import numpy as np
import pytest
from playwright.sync_api import Page, expect

from tests.service.page.accessibility import assert_accessible
from tests.service.page.scans import write_scans

LABELS = ["choroidal neovascularization", "diabetic macular edema", "drusen", "normal"]


def answer(service: str, path: Path) -> Any:
    return httpx.post(f"{service}/v1/models/oct/predict", content=path.read_bytes()).json()["predictions"][0]


def score_interval(right: int, total: int) -> tuple[float, float]:
    """All shares p from which the share seen lies less than 1.96 standard errors of p away, by search."""
    shares = np.linspace(0, 1, 1_000_001)
    z = NormalDist().inv_cdf(0.975)
    inside = shares[np.abs(right / total - shares) <= z * np.sqrt(shares * (1 - shares) / total)]
    return float(inside.min()), float(inside.max())


def open_table(page: Page, count: int) -> None:
    expect(page.locator(".gallery img.thumbnail")).to_have_count(count)
    page.get_by_role("button", name=f"All images ({count})").click()


def test_folders_give_labels(page: Page, service: str, demo: Path, tmp_path: Path) -> None:
    folder = tmp_path / "scans"
    names = ["DRUSEN/1.png", "Normal/1.png", "Normal/2.png", "choroidal neovascularization/1.png", "scar/1.png"]
    paths = write_scans(demo / "oct.jpeg", folder, names)
    (folder / "Normal" / "notes.txt").write_text("no image")
    page.set_input_files("#folder", folder)
    open_table(page, 5)
    expect(page.get_by_text("These are no labels of oct, so their images are not counted: scar.")).to_be_visible()

    counts = np.zeros((4, 4), dtype=int)
    for path in paths[:4]:
        counts[LABELS.index(path.parent.name.lower()), LABELS.index(answer(service, path)["label"])] += 1
    right = int(counts.trace())
    assert [int(text) for text in page.locator(".confusion tbody td").all_inner_texts()] == counts.ravel().tolist()
    low, high = (f"{100 * end:.1f}\u00a0%" for end in score_interval(right, 4))
    expect(page.locator(".agreement")).to_contain_text(
        f"{right} of 4 right, an accuracy of {100 * right / 4:.1f}\u00a0% (95 % interval {low} to {high}, Wilson)"
    )
    expect(page.locator(".agreement")).to_contain_text("With so few images these figures say little")
    bins = page.get_by_role("img", name="Reliability").get_attribute("aria-label") or ""
    assert sum(int(each.split()[0]) for each in bins.split("of ")[1:]) == 4
    assert_accessible(page)
    page.get_by_label("Own label").select_option("wrong")
    expect(page.get_by_text(f"{4 - right} of 5 shown")).to_be_visible()
    page.get_by_label("Own label").select_option("none")
    expect(page.locator(".images-table .open")).to_have_text(["scar/1.png"])


@pytest.mark.parametrize(
    "table",
    [
        "file,label\na.png,normal\nb.png,DRUSEN\n",
        'Image;Class;eye\r\nscans/a.png;"normal";left\r\nscans/b.png;Drusen;right\r\n',
    ],
)
def test_a_table_gives_labels(page: Page, service: str, demo: Path, tmp_path: Path, table: str) -> None:
    paths = write_scans(demo / "oct.jpeg", tmp_path, ["a.png", "b.png", "c.png"])
    labels = tmp_path / "labels.csv"
    labels.write_text(table)
    page.set_input_files("#file", [*paths, labels])
    expect(page.get_by_text("2 labels were read from labels.csv.")).to_be_visible()
    open_table(page, 3)
    shown = page.locator("[data-title='Own label']").all_inner_texts()
    assert [text.split()[0] for text in shown] == ["normal", "drusen", "\N{EN DASH}"]
    with page.expect_download() as download:
        page.get_by_role("button", name="All as CSV").click()
    rows = list(csv.DictReader(io.StringIO(download.value.path().read_text("utf-8-sig"))))
    assert [row["own_label"] for row in rows] == ["normal", "drusen", ""]
    found = [answer(service, path)["label"] for path in paths]
    assert [row["right"] for row in rows] == [str(found[0] == "normal").lower(), str(found[1] == "drusen").lower(), ""]


def test_a_table_without_labels_is_refused_by_name(page: Page, demo: Path, tmp_path: Path) -> None:
    labels = tmp_path / "list.csv"
    labels.write_text("file,note\noct.jpeg,clear\n")
    page.set_input_files("#file", [demo / "oct.jpeg", labels])
    expect(page.get_by_role("alert")).to_contain_text("list.csv has no column \N{LEFT DOUBLE QUOTATION MARK}label")
    expect(page.locator(".bars li")).to_have_count(4)


def test_a_dropped_folder_is_walked(page: Page, demo: Path, tmp_path: Path) -> None:
    """A browser makes entries of what a person drops; here they are made up around files that were chosen."""
    [scan] = write_scans(demo / "oct.jpeg", tmp_path, ["1.png"])
    page.wait_for_selector(".welcome")
    page.evaluate(
        """bytes => {
        const file = name => ({ isFile: true, fullPath: name, file: done =>
            done(new File([Uint8Array.from(bytes)], name.split("/").at(-1), { type: "image/png" })) });
        const folder = (name, parts) => ({ isDirectory: true, fullPath: name, createReader: () => {
            const left = parts.map(part => [part]);  // one entry a time, as a large folder comes in parts
            return { readEntries: done => done(left.shift() ?? []) };
        } });
        const event = new Event("drop", { cancelable: true });
        const tree = folder("/set", [
            folder("/set/normal", [file("/set/normal/1.png"), file("/set/normal/10.png"), file("/set/normal/2.png")]),
            folder("/set/drusen", [file("/set/drusen/1.png"), file("/set/drusen/.DS_Store")]),
        ]);
        event.dataTransfer = { items: [{ webkitGetAsEntry: () => tree }], files: [] };
        dispatchEvent(event);
    }""",
        list(scan.read_bytes()),
    )
    expect(page.locator(".gallery .name")).to_have_text(
        ["drusen/1.png", "normal/1.png", "normal/2.png", "normal/10.png"]
    )
    expect(page.get_by_text("of 4 findings agree")).to_be_visible()


def test_all_gates_as_a_file_of_numpy(page: Page, service: str, demo: Path, tmp_path: Path) -> None:
    paths = write_scans(demo / "oct.jpeg", tmp_path, ["normal/\N{GREEK SMALL LETTER ALPHA}.png", "normal/b.png"])
    page.set_input_files("#folder", tmp_path / "normal")
    expect(page.locator(".gallery img.thumbnail")).to_have_count(2)
    with page.expect_download() as download:
        page.get_by_role("button", name="All gates as NPZ").click()
    assert download.value.suggested_filename == "gates-oct-3.npz"
    card = httpx.get(f"{service}/v1/models/oct/card").json()
    models = httpx.get(f"{service}/v1/models").json()["models"]
    with np.load(download.value.path(), allow_pickle=False) as saved:
        order = [Path(name).name for name in saved["files"]]
        assert sorted(order) == sorted(path.name for path in paths)
        wanted = {path.name: answer(service, path) for path in paths}
        gates = [np.concatenate(list(wanted[name]["recalibration_weights"].values())) for name in order]
        assert saved["gates"].dtype == np.float32
        np.testing.assert_array_equal(saved["gates"], np.array(gates, dtype=np.float32))
        assert saved["findings"].tolist() == [wanted[name]["label"] for name in order]
        assert saved["own_labels"].tolist() == ["normal", "normal"]
        blocks = [block["name"] for block in card["blocks"] for _ in range(block["channels"])]
        assert saved["blocks"].tolist() == blocks
        assert saved["channels"].tolist() == [i for block in card["blocks"] for i in range(block["channels"])]
        assert (saved["model"].tolist(), saved["version"].tolist()) == (["oct"], ["3"])
        assert saved["digest"].tolist() == [model["digest"] for model in models if model["name"] == "oct"]
