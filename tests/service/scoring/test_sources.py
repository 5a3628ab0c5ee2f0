"""Every kind of source: what is found in it, in which order, and what is carried along."""

import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from service.scoring.errors import ScoringError
from service.scoring.sources import open_source
from service.scoring.trees import FarTree
from tests.conftest import ImageMaker
from tests.models.preprocessing.dicom_files import dicom
from tests.service.scoring.conftest import Runs, listed


@pytest.fixture
def memory() -> Iterator[Any]:
    """An empty file system in memory."""
    system = fsspec.filesystem("memory")
    system.store.clear()
    yield system
    system.store.clear()


def test_a_folder_is_walked_in_order(score: Runs, images: Path) -> None:
    (images / ".hidden.png").write_bytes(b"hidden")
    (images / ".cache").mkdir()
    (images / ".cache" / "01.png").write_bytes(b"hidden")
    expected = [name for name in listed(images) if "/." not in f"/{name}"]
    assert score(images, rows=5) == 0
    assert score.names() == expected
    assert len(expected) == 12
    assert [pq.read_metadata(path).num_rows for path in score.parts()] == [5, 5, 2]


def test_dicom_files_without_a_suffix_and_files_of_other_kinds(score: Runs, images: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    (images / "IM000001").write_bytes(dicom(pixels, Laterality="L"))
    (images / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM" + b"no image")
    (images / "notes.txt").write_text("left eye")
    assert score(images) == 0  # files of other kinds are no failures
    assert len(score.names()) == 13
    row = next(row for row in score.table().to_pylist() if row["name"] == "IM000001")
    assert (row["format"], row["laterality"], row["frame"], row["frames"]) == ("DICOM", "L", 1, 1)
    assert score.failed() == {"DICOMDIR": "other", "notes.txt": "other"}


def test_a_damaged_file_without_a_suffix_is_a_failure(score: Runs, images: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    (images / "IM000001").write_bytes(dicom(pixels)[:-2000])
    (images / "IM000002").write_bytes(b"")
    assert score(images) == 1
    assert score.failed() == {"IM000001": "damaged", "IM000002": "empty"}


def test_a_manifest_carries_its_columns_along(score: Runs, images: Path, tmp_path: Path) -> None:
    rows = ["patient,file,label", 'P1,images/00.jpg,"normal, or nearly"', "P2,images/eye 1/01.png,", ""]
    (tmp_path / "list.csv").write_text("\N{ZERO WIDTH NO-BREAK SPACE}" + "\n".join(rows), encoding="utf-8")
    assert score(tmp_path / "list.csv") == 0
    table = score.table()
    assert score.names() == ["images/00.jpg", "images/eye 1/01.png"]
    assert table["source_patient"].to_pylist() == ["P1", "P2"]
    assert table["source_label"].to_pylist() == ["normal, or nearly", ""]
    assert all(label in ("normal", "glaucoma", "cataract") for label in table["label"].to_pylist())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,label\na.png,1\n", "needs one column `file`"),
        ("file,a,a\nx,1,2\n", "no column twice"),
        ("file,label\na.png,1,2\n", "line 2"),
        ("file\n", "lists no files"),
    ],
)
def test_a_manifest_with_a_mistake_is_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(ScoringError, match=message):
        open_source(str(tmp_path / "list.csv"))


def rows_of(images: Path) -> list[dict[str, Any]]:
    return [{"id": index, "image": (images / name).read_bytes()} for index, name in enumerate(listed(images))]


@pytest.mark.parametrize("nested", [False, True], ids=["bytes", "structures"])
def test_parquet_in_several_files_and_row_groups(
    score: Runs, images: Path, tmp_path: Path, nested: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = rows_of(images)
    expected_bytes = [row["image"] for row in rows]
    for row in rows:
        row |= {"grade": row["id"] % 3, "notes": ["left", "out"]}
        if nested:
            row["image"] = {"bytes": row["image"], "path": "x.png"}
    table, folder = pa.Table.from_pylist(rows), tmp_path / "tables"
    folder.mkdir()
    pq.write_table(table.slice(0, 7), folder / "a.parquet", row_group_size=3)
    pq.write_table(table.slice(7), folder / "b.parquet", row_group_size=2)
    assert score(folder, rows=5) == 0
    assert score.names() == [str(index) for index in range(12)]
    assert score.table()["source_grade"].to_pylist() == [str(index % 3) for index in range(12)]
    assert "source_notes" not in score.table().column_names
    assert score.table()["sha256"].to_pylist() == [sha256(data) for data in expected_bytes]
    # A later run begins within a row group, and reads the same images, without the row groups that it does not need.
    before, read = score.table(), list[int]()
    iterate = pq.ParquetFile.iter_batches

    def counted(self: Any, *arguments: Any, row_groups: list[int], **options: Any) -> Any:
        read.append(self.metadata.row_group(row_groups[0]).num_rows)
        return iterate(self, *arguments, row_groups=row_groups, **options)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", counted)
    for lost, rows_read in {(1,): 3 + 1 + 2 + 2, (2,): 2 + 1, (0, 2): 3 + 3 + 2 + 1}.items():
        for part in [score.parts()[number] for number in lost]:
            part.unlink()
        read.clear()
        assert score(folder) == 0
        assert sum(read) == rows_read
        again = score.table()
        assert again["sha256"].equals(before["sha256"])
        np.testing.assert_allclose(again["probability"], before["probability"], atol=1e-6)


def test_parquet_without_names_and_with_others(score: Runs, images: Path, tmp_path: Path) -> None:
    data = [row["image"] for row in rows_of(images)][:2]
    path = tmp_path / "scans.parquet"
    pq.write_table(pa.table({"scan": pa.array([*data, None], pa.binary()), "key": ["a", "b", "c"]}), path)
    with pytest.raises(ScoringError, match="--image-column; the columns are: scan, key"):
        score(path)
    with pytest.raises(ScoringError, match="no column 'nope'"):
        score(path, image_column="nope")
    assert score(path, image_column="scan", id_column="key") == 1
    assert (score.names(), score.failed()) == (["a", "b"], {"c": "empty"})
    score.to = tmp_path / "others"
    assert score(path, image_column="scan") == 1
    assert score.names() == ["scans.parquet#0", "scans.parquet#1"]
    assert score.table()["source_key"].to_pylist() == ["a", "b"]


def test_a_damaged_parquet_file_stops_the_run(score: Runs, images: Path, tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.Table.from_pylist(rows_of(images)), path, compression="none")
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ScoringError, match=r"rows\.parquet can't be read as Parquet"):
        score(path)


def test_an_address_of_fsspec(score: Runs, images: Path, memory: Any) -> None:
    for name in [*listed(images), ".hidden/a.png", "eye 0/.hidden.png"]:
        path = images / name
        memory.pipe(f"/bucket/set/{name}", path.read_bytes() if path.exists() else b"hidden")
    assert score("memory://bucket/set", rows=5) == 0
    assert score.names() == listed(images)
    far = score.table()
    score.to = score.to.with_name("near")
    assert score(images) == 0
    assert far["sha256"].equals(score.table()["sha256"])
    score.to = score.to.with_name("file")
    assert score(f"file://{images}") == 0
    assert score.names() == listed(images)


def test_far_manifests_and_tables(score: Runs, images: Path, memory: Any, tmp_path: Path) -> None:
    memory.pipe("/b/images/00.jpg", (images / "00.jpg").read_bytes())
    memory.pipe("/b/list.csv", b"file,eye\nimages/00.jpg,left\nimages/none.jpg,right\n")
    assert score("memory://b/list.csv") == 1
    assert (score.names(), score.failed()) == (["images/00.jpg"], {"images/none.jpg": "missing"})
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows_of(images)), stream)
    memory.pipe("/t/rows.parquet", stream.getvalue())
    score.to = tmp_path / "tables"
    assert score("memory://t/rows.parquet") == 0
    assert len(score.names()) == 12


def test_mistakes_in_the_source_are_one_sentence(score: Runs, images: Path, tmp_path: Path, memory: Any) -> None:
    for source, message in {
        str(tmp_path / "nope"): "does not exist",
        "memory://nope/nope": "does not exist",
        "nope://bucket": r"can't be reached \(ValueError: Protocol not known: nope",
        str(images / "00.jpg"): "neither a CSV manifest",
    }.items():
        with pytest.raises(ScoringError, match=message):
            score(source)
    (tmp_path / "none").mkdir()
    with pytest.raises(ScoringError, match="holds no files"):
        score(tmp_path / "none")
    (images / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(ScoringError, match="Parquet files and images"):
        score(images)
    score.to = tmp_path / "none" / "results"
    (tmp_path / "none" / "a.png").write_bytes(b"")
    with pytest.raises(ScoringError, match="lies in the source"):
        score(tmp_path / "none")


def test_a_read_from_far_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Flaky:
        protocol = "flaky"

        def unstrip_protocol(self, path: str) -> str:
            return f"flaky://user:secret@{path}"

        def cat_file(self, path: str) -> bytes:
            asked.append(path)
            if path.endswith("gone"):
                raise FileNotFoundError(path)
            if len(asked) < 3:
                raise TimeoutError("slow")
            return b"content"

    monkeypatch.setattr("service.scoring.trees.FIRST_WAIT_S", 0.001)
    tree = FarTree(Flaky(), "bucket")
    assert tree.address == "flaky://bucket"  # without the password
    assert tree.read("a") == b"content"
    assert asked == ["bucket/a"] * 3
    with pytest.raises(FileNotFoundError):
        tree.read("gone")
    assert len(asked) == 4


@pytest.mark.skipif(sys.platform != "linux", reason="names are text on other systems")
def test_a_name_that_is_not_utf_8(score: Runs, tmp_path: Path, make_image: ImageMaker) -> None:
    folder = tmp_path / "old disk"
    folder.mkdir()
    Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.png")).write_bytes(make_image("PNG"))
    assert score(folder) == 0
    assert score.names() == [r"caf\xe9.png"]


def sha256(data: bytes) -> str:
    import hashlib

    return hashlib.sha256(data).hexdigest()
