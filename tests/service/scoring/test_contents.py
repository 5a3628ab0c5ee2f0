"""What a row says, against a package run by hand and against ``python -m service predict``."""

import hashlib
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from PIL import Image

from models.package import package_path
from service import NOTICE, __version__
from service.settings import Settings
from tests.conftest import LABELS, tiny_card
from tests.service.packages import by_hand
from tests.service.scoring.conftest import Runs, listed


def png(pixels: NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def test_probabilities_and_gates_are_the_package_s(score: Runs, repository: Path, tmp_path: Path) -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (40, 32, 32, 3), dtype=np.uint8)
    folder = tmp_path / "pixels"
    folder.mkdir()
    for index, image in enumerate(pixels):
        (folder / f"{index:02}.png").write_bytes(png(image))
    assert score(folder, version="1", rows=16) == 0
    table = score.table()
    probabilities, gates, _ = by_hand(package_path(repository, "colour", "1"), pixels)
    found = np.stack([table[f"probability_{label}"] for label in LABELS], axis=1)
    np.testing.assert_allclose(found, probabilities, atol=1e-5)
    np.testing.assert_allclose(np.stack(table["gates"].to_numpy()), gates, atol=1e-5)
    assert table["label"].to_pylist() == [LABELS[row.argmax()] for row in probabilities]
    np.testing.assert_allclose(table["probability"], probabilities.max(axis=1), atol=1e-5)
    assert table["sha256"].to_pylist() == [hashlib.sha256(png(image)).hexdigest() for image in pixels]
    card = tiny_card("colour", "1")
    gates_column = table.schema.field("gates").type
    assert (gates_column.list_size, str(gates_column.value_type)) == (gates.shape[1], "float")
    facts = {key.decode(): value.decode() for key, value in pq.read_metadata(score.parts()[0]).metadata.items()}
    assert facts["retina_srm.model"] == "colour"
    assert facts["retina_srm.version"] == "1"
    package = package_path(repository, "colour", "1").read_bytes()
    assert facts["retina_srm.digest"] == f"sha256:{hashlib.sha256(package).hexdigest()}"
    assert json.loads(facts["retina_srm.labels"]) == LABELS
    blocks = [{"name": b.name, "offset": b.offset, "channels": b.channels} for b in card.blocks]
    assert json.loads(facts["retina_srm.blocks"]) == blocks
    assert (facts["retina_srm.software"], facts["retina_srm.notice"]) == (__version__, NOTICE)


def test_rows_are_the_answers_of_predict(score: Runs, repository: Path, images: Path) -> None:
    files = [str(images / name) for name in listed(images)]
    command = [sys.executable, "-m", "service", "predict", *files, "--model", "colour", "--output", "json"]
    done = subprocess.run([*command, "--repository", str(repository)], capture_output=True, check=True, timeout=60)
    answers = json.loads(done.stdout)["predictions"]
    assert score(images) == 0
    rows = score.table().to_pylist()
    for row, answer in zip(rows, answers, strict=True):
        assert row["name"] == str(Path(answer["file"]).relative_to(images))
        assert row["label"] == answer["label"]
        assert row["prediction_set"] == (answer["prediction_set"] and answer["prediction_set"]["labels"])
        shift = answer["style_shift"]
        assert (row["style_verdict"], row["style_shift"]) == (
            (shift["verdict"], pytest.approx(shift["score"], abs=1e-3)) if shift else (None, None)
        )
        assert row["scope"] == (answer["scope"] and answer["scope"]["verdict"])
        for name in ("format", "width", "height", "frame", "frames", "laterality"):
            assert row[name] == answer["image"][name]
        gates = [gate for block in answer["recalibration_weights"].values() for gate in block]
        np.testing.assert_allclose(row["gates"], gates, atol=1e-5)
        for entry in answer["probabilities"]:
            assert row[f"probability_{entry['label']}"] == pytest.approx(entry["probability"], abs=1e-5)


def test_the_included_model_and_its_verdicts(score: Runs, capsys: pytest.CaptureFixture[str]) -> None:
    demo = Path(__file__).resolve().parents[3] / "service" / "page" / "demo"
    assert score(demo, settings=Settings(provider="cpu", threads=1), model="oct") == 0
    rows: dict[str, Any] = {row["name"]: row for row in score.table().to_pylist()}
    assert {name: row["style_verdict"] for name, row in rows.items()} == {"dr.jpeg": "unlike", "oct.jpeg": "usual"}
    assert rows["oct.jpeg"]["prediction_set"] == ["choroidal neovascularization"]  # as in the README
    assert rows["oct.jpeg"]["probability"] == pytest.approx(0.9914, abs=1e-4)
    assert rows["oct.jpeg"]["style_shift"] == pytest.approx(0.9515, abs=1e-3)
    said = capsys.readouterr().out
    for line in ("2 images, 0 failed, 1 file of other kinds passed over", "style unlike: 1", "style usual: 1"):
        assert line in said
    score.to = score.to.with_name("silent")
    silent = Settings(provider="cpu", threads=1, style_shift="abstain")
    assert score(demo, settings=silent, model="oct") == 0
    rows = {row["name"]: row for row in score.table().to_pylist()}
    assert (rows["dr.jpeg"]["label"], rows["dr.jpeg"]["probability_drusen"]) == (None, None)
    assert rows["dr.jpeg"]["style_verdict"] == "unlike"
    assert rows["oct.jpeg"]["label"] == "choroidal neovascularization"
