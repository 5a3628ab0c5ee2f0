"""The report: one file that stands alone, holds the run's figures, and needs no data to be written."""

import base64
import csv
import io
import itertools
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.training.run_folder import change_recipe, predictions
from training.errors import TrainingError
from training.report import write_run_report
from training.run import Run

VOID = {"meta", "img", "br", "link", "hr", "input"}


class Page(HTMLParser):
    """Elements with their attributes, the text, and whether every element is closed."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "svg"} & set(self.open):
            self.text += data

    def every(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def source(finished: Run, tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_run_report(finished, output=tmp_path_factory.mktemp("report") / "page.html").read_text()


@pytest.fixture(scope="module")
def page(source: str) -> Page:
    return Page(source)


class TestFile:
    def test_is_whole_html(self, page: Page) -> None:
        assert page.open == []
        assert page.every("html")[0]["lang"] == "en"
        identifiers = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
        assert len(identifiers) == len(set(identifiers))
        for link in page.every("a"):
            assert (link["href"] or "").removeprefix("#") in identifiers

    def test_needs_no_other_file(self, source: str, page: Page) -> None:
        assert not {"script", "link", "iframe"} & {tag for tag, _ in page.elements}
        for _, attributes in page.elements:
            for name in ("src", "href", "xlink:href"):
                assert (attributes.get(name) or "#").startswith(("#", "data:image/jpeg;base64,"))
        assert not re.search(r"@import|url\((?!#)", source)

    def test_figures_have_a_text_for_screen_readers(self, page: Page) -> None:
        figures = [svg for svg in page.every("svg") if svg.get("role") == "img"]
        assert len(figures) == len(page.every("svg")) == 5
        assert all(len(svg["aria-label"] or "") > 40 for svg in figures)
        assert all(image["alt"] for image in page.every("img"))
        levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
        assert levels[0] == 1
        assert all(after <= before + 1 for before, after in itertools.pairwise(levels))

    def test_has_colours_for_both_themes_and_paper(self, source: str) -> None:
        assert "prefers-color-scheme: dark" in source
        assert "@media print" in source
        themes = [part.partition("}")[0] for part in source.split(":root {")[1:]]
        light, dark, paper = (set(re.findall(r"(--[a-z0-9-]+):", theme)) for theme in themes)
        assert light == dark == paper
        assert set(re.findall(r"var\((--[a-z0-9-]+)\)", source)) - {"--part"} <= light


class TestContents:
    def test_are_the_runs_figures(self, finished: Run, page: Page) -> None:
        report = finished.metrics()["test"]
        assert report.at_prior is not None
        assert report.per_class is not None
        assert report.conformal is not None
        for column in report.at_prior.values():
            for figure in column.metrics.values():
                assert figure.interval is not None
                assert f"{figure.value:.3f}" in page.text
                assert "{:.3f} to {:.3f}".format(*figure.interval) in page.text
        for row in report.per_class.values():
            assert f"{row.figures['sensitivity_at_specificity_0.95'].value:.3f}" in page.text
        words = " ".join(page.text.split())
        assert "Target and training class frequencies" in words
        assert f"they are worth {report.effective_images:.0f} images of equal weight" in words
        assert report.conformal.guarantee in words
        assert finished.facts().training_data.md5 in words
        assert finished.test_openings()[0] in words
        assert "not a medical device" in words

    def test_are_the_verdicts_and_the_accuracy_by_coverage(self, finished: Run, page: Page) -> None:
        report = finished.metrics()["test"]
        assert report.style_shift is not None
        assert report.selective is not None
        section = page.text.partition("Style shift and selective answers")[2].partition("Mistakes")[0]
        shown = [*report.style_shift.share.values()]
        for curve in report.selective.by.values():
            shown += [curve.aurc, *curve.accuracy.values()]
        for figure in shown:
            assert figure.interval is not None
            assert "{:.3f} {:.3f} to {:.3f}".format(figure.value, *figure.interval) in section
        assert any("by style shift, confidence, both" in (svg["aria-label"] or "") for svg in page.every("svg"))

    def test_show_the_most_confident_mistakes(self, finished: Run, page: Page) -> None:
        rows, probabilities, labels = predictions(finished, "test")
        wrong = np.flatnonzero(probabilities.argmax(axis=1) != labels)
        worst = wrong[probabilities[wrong].max(axis=1).argmax()]
        images = page.every("img")
        assert f"{len(wrong)} of 80 images are misclassified" in page.text
        assert len(images) == 3 * min(len(wrong), 12)
        assert images[0]["alt"] == f"Image {rows[worst]['id']}"
        first = Image.open(io.BytesIO(base64.b64decode((images[0]["src"] or "").partition(",")[2])))
        original = np.load(finished.recipe().data or "")["test_images"][worst]
        assert np.asarray(first).mean() == pytest.approx(original.mean(), abs=2)

    def test_of_validation_say_so(self, finished: Run, tmp_path: Path) -> None:
        text = " ".join(Page(write_run_report(finished, "val", output=tmp_path / "val.html").read_text()).text.split())
        assert "These are validation figures" in text
        assert "measured on the same images" in text

    def test_foreign_text_is_escaped_and_images_are_left_out_on_request(self, run_copy: Run) -> None:
        change_recipe(run_copy, card={"description": "<script>alert(1)</script> & more"})
        source = write_run_report(run_copy, images=False).read_text()
        assert "<script>" not in source
        assert "&lt;script&gt;" in source
        assert "data:image" not in source
        assert "Images were left out on request." in source


class TestWithoutSomeParts:
    def test_no_log_no_gates_no_sets(self, run_copy: Run) -> None:
        for file in (run_copy.folder / "tensorboard").iterdir():
            file.unlink()
        (run_copy.folder / "tensorboard").rmdir()
        stored = json.loads(run_copy.metrics_path.read_text())
        del stored["test"]["conformal"]
        run_copy.metrics_path.write_text(json.dumps(stored))
        path = write_run_report(run_copy)
        page = Page(path.read_text())
        assert path == run_copy.folder / "report.html"
        assert "has no TensorBoard log" in page.text
        assert "Prediction sets" not in page.text

    def test_shows_what_is_left_of_the_explanations(self, finished: Run, page: Page) -> None:
        maps = finished.metrics()["test"].maps
        assert maps is not None
        assert [step.randomised_from for step in maps.cascade][-1] == "conv1"
        for step in maps.cascade:
            assert step.gates is not None
            assert f"{step.map:.3f}" in page.text
            assert f"{step.gates:.3f}" in page.text
        assert "on the retina" not in page.text  # the images are no B-scans

    def test_an_evaluation_of_before_has_no_style_shift(self, run_copy: Run) -> None:
        stored = json.loads(run_copy.metrics_path.read_text())
        for name in ("style_shift", "selective", "maps"):
            del stored["test"][name]
        run_copy.metrics_path.write_text(json.dumps(stored))
        path = run_copy.folder / "evaluation-test.npz"
        with np.load(path) as arrays:
            np.savez(path, **{name: arrays[name] for name in arrays if name not in ("style_shift", "rejection_rank")})
        source = write_run_report(run_copy).read_text()
        assert "tyle shift" not in source
        assert len(Page(source).every("svg")) == 4

    def test_of_a_multi_label_task(self, run_copy: Run) -> None:
        # As a multi-label evaluation leaves them: zeros and ones, no confusion matrix, no priors, no sets.
        with np.load(run_copy.folder / "evaluation-test.npz") as arrays:
            content = dict(arrays)
        content["labels"] = np.eye(5, dtype=np.int64)[content["labels"]]
        content["labels"][:10, 0] = 1
        for name in ("examples", "images", "maps"):
            content[name] = content[name][:0]
        del content["rejection_rank"]
        np.savez(run_copy.folder / "evaluation-test.npz", **content)
        stored = json.loads(run_copy.metrics_path.read_text())
        report = stored["test"]
        for name in ("per_class", "confusion", "at_prior", "without_temperature", "conformal", "selective"):
            del report[name]
        report["style_shift"]["accuracy"] = None
        counts = {"true_positive": 17, "false_positive": 4, "false_negative": 9, "true_negative": 50}
        report["confusion_by_label"] = dict.fromkeys(report["class_auc"], counts)
        report["patient_metrics"] = report["metrics"]
        run_copy.metrics_path.write_text(json.dumps(stored))
        page = Page(write_run_report(run_copy).read_text())
        assert page.open == []
        assert "By patient" in page.text
        assert "True positive" in page.text
        assert "Mistakes" not in page.text
        assert "Style shift" in page.text
        assert "AURC" not in page.text
        with pytest.raises(TrainingError, match="leave out --metadata"):
            write_run_report(run_copy, metadata=run_copy.folder / "any.csv")

    def test_subgroups_are_those_of_the_runs_own_table(self, run_copy: Run) -> None:
        rows = list(csv.DictReader((run_copy.folder / "predictions-test.csv").open()))
        assert "Subgroups" not in Page(write_run_report(run_copy).read_text()).text
        lines = [f"{row['id']},test,mild,,{('left', 'right')[i % 2]}" for i, row in enumerate(rows)]
        run_copy.images_path.write_text("\n".join(["id,split,label,patient,eye", *lines]))
        text = Page(write_run_report(run_copy).read_text()).text
        assert "Subgroups" in text
        assert "left" in text
        run_copy.images_path.write_text("id,split,label,patient\ntest-0,test,mild,\n")  # data with no more to say
        assert "Subgroups" not in Page(write_run_report(run_copy).read_text()).text

    def test_no_evaluation_is_a_sentence(self, run_copy: Run) -> None:
        (run_copy.folder / "evaluation-test.npz").unlink()
        with pytest.raises(TrainingError, match=r"no evaluation of the test split.*training evaluate"):
            write_run_report(run_copy)

    def test_a_folder_that_is_not_there_is_a_sentence(self, finished: Run, tmp_path: Path) -> None:
        with pytest.raises(TrainingError, match="can't be written"):
            write_run_report(finished, output=tmp_path / "gone" / "report.html")
