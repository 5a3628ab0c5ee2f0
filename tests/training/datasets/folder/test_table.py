"""Tables: what a CSV says of files, labels, patients, splits and more, and headers as people write them."""

from pathlib import Path

import pytest

from tests.training.datasets.folder_trees import SPLITS, all_files, class_of, files_of, read
from tests.training.tiny_data import write_manifest, write_tree
from training.errors import TrainingError


class TestManifestSplit:
    def write(self, root: Path, *, leak: bool = False, **changes: str) -> list[dict[str, object]]:
        """Four images a class and split, two a patient; ``changes`` rename splits."""
        files = write_tree(root, {"a": 12, "b": 12})
        rows: list[dict[str, object]] = []
        for index, file in enumerate(files):
            split = SPLITS[index % 12 // 4]
            rows.append({"file": file, "patient": f"p{index // 2}", "split": changes.get(split, split)})
        if leak:
            rows[3]["split"] = "test"
        write_manifest(root, rows)
        return rows

    def test_decides(self, tmp_path: Path) -> None:
        rows = self.write(tmp_path)
        data = read(tmp_path)
        assert files_of(data) == {split: [row["file"] for row in rows if row["split"] == split] for split in SPLITS}
        assert "manifest" in data.split_rule

    @pytest.mark.parametrize("name", ["valid", "Validation"])
    def test_knows_other_names_of_validation(self, tmp_path: Path, name: str) -> None:
        self.write(tmp_path, val=name)
        assert len(read(tmp_path).splits["val"]) == 8

    def test_that_leaks_a_patient_is_refused(self, tmp_path: Path) -> None:
        self.write(tmp_path, leak=True)
        with pytest.raises(TrainingError, match="patient 'p1' has images in train and in test"):
            read(tmp_path)

    def test_without_a_class_in_a_split_is_refused(self, tmp_path: Path) -> None:
        rows = self.write(tmp_path)
        write_manifest(tmp_path, [row for row in rows if not (row["split"] == "val" and "b/" in str(row["file"]))])
        with pytest.raises(TrainingError, match="val split has no image of b"):
            read(tmp_path)

    @pytest.mark.parametrize("name", ["dev", "TRIAN", "0"])
    def test_of_unknown_name_is_refused(self, tmp_path: Path, name: str) -> None:
        self.write(tmp_path, val=name)
        with pytest.raises(
            TrainingError, match=rf"8 images in an unknown split: use train, val or test \(a/004\.png: {name},"
        ):
            read(tmp_path)

    def test_for_some_images_alone_is_refused(self, tmp_path: Path) -> None:
        # Splitting these at random would put images that were meant for testing into training.
        rows = self.write(tmp_path)
        rows[-1]["split"] = ""
        write_manifest(tmp_path, rows)
        with pytest.raises(TrainingError, match="split"):
            read(tmp_path)


class TestManifest:
    def test_label_comes_before_the_folder(self, tree: Path) -> None:
        files = [f"{folder.name}/{file.name}" for folder in tree.iterdir() for file in folder.iterdir()]
        write_manifest(
            tree, [{"file": file, "label": "healthy" if file.startswith("normal") else "ill"} for file in files]
        )
        data = read(tree)
        assert data.labels == ["healthy", "ill"]
        assert sum(data.counts()[split]["healthy"] for split in SPLITS) == 60

    def test_chooses_the_images(self, tree: Path) -> None:
        rows = [{"file": f"{label}/{n:03}.png"} for label in ("normal", "cnv") for n in range(20)]
        write_manifest(tree, rows)
        assert all_files(read(tree)) == sorted(row["file"] for row in rows)

    def test_elsewhere_is_taken_by_name(self, tree: Path, tmp_path: Path) -> None:
        rows = [{"file": f"{label}/{n:03}.png"} for label in ("normal", "cnv") for n in range(20)]
        write_manifest(tree, rows)
        manifest = (tree / "manifest.csv").rename(tmp_path / "chosen.csv")
        assert len(all_files(read(tree, manifest=manifest))) == 40
        assert len(all_files(read(tree))) == 120

    def test_elsewhere_must_be_there(self, tree: Path, tmp_path: Path) -> None:
        with pytest.raises(TrainingError, match=r"chosen\.csv is not there"):
            read(tree, manifest=tmp_path / "chosen.csv")

    def test_saved_by_excel_has_a_byte_order_mark(self, tree: Path) -> None:
        rows = [f"{label}/{n:03}.png" for label in ("normal", "cnv") for n in range(20)]
        (tree / "manifest.csv").write_text("\r\n".join(["file", *rows]), encoding="utf-8-sig")
        assert len(all_files(read(tree))) == 40

    def test_with_missing_files_names_the_first(self, tree: Path) -> None:
        write_manifest(tree, [{"file": file} for file in ("cnv/000.png", "cnv/gone.png", "normal/gone.png")])
        with pytest.raises(TrainingError, match=r"2 files missing.*\(cnv/gone\.png, normal/gone\.png\)"):
            read(tree)

    @pytest.mark.parametrize("text", ["", "file\n", "image,label\ncnv/000.png,cnv\n", "label,file\ncnv\n"])
    def test_without_files_is_refused(self, tree: Path, text: str) -> None:
        (tree / "manifest.csv").write_text(text)
        with pytest.raises(TrainingError, match=r"manifest\.csv"):
            read(tree)

    def test_must_give_a_label_where_it_has_the_column(self, tree: Path) -> None:
        write_manifest(tree, [{"file": "cnv/000.png", "label": "cnv"}, {"file": "cnv/001.png", "label": ""}])
        with pytest.raises(TrainingError, match=r"gives cnv/001\.png no label"):
            read(tree)

    def test_with_a_file_twice_is_refused(self, tree: Path) -> None:
        write_manifest(tree, [{"file": name} for name in ("cnv/000.png", "normal/000.png", "./cnv/000.png")])
        with pytest.raises(TrainingError, match=r"1 file more than once.*\(cnv/000\.png\)"):
            read(tree)

    def test_with_more_values_than_columns_names_the_row(self, tree: Path) -> None:
        (tree / "manifest.csv").write_text("file,label\ncnv/000.png,cnv\ncnv/001.png,cnv,old\n")
        with pytest.raises(TrainingError, match="row 3 has 3 values for 2 columns"):
            read(tree)

    def test_that_is_not_utf8_is_refused(self, tree: Path) -> None:
        (tree / "manifest.csv").write_bytes("file,note\ncnv/000.png,\xe9\n".encode("latin-1"))
        with pytest.raises(TrainingError, match=r"manifest\.csv"):
            read(tree)


class TestHeader:
    """40 images of 20 patients in two classes; a table whose header is written as people write it."""

    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        write_tree(tmp_path, {"x": 40})
        return tmp_path

    def write(self, root: Path, header: str, separator: str = ",") -> None:
        rows = [f"x/{n:03}.png,{'dr' if n // 2 % 2 else 'normal'},p{n // 2}" for n in range(40)]
        (root / "manifest.csv").write_text("\n".join([header, *rows, ""]).replace(",", separator))

    @pytest.mark.parametrize(
        ("header", "separator"),
        [
            ("file,label,patient", ", "),
            ("file,label,patient", ";"),
            ("File,Label,Patient", ","),
            ("filename,class,patient_id", ","),
            ("Image Path,diagnosis,Subject-ID", ","),
            (" image ,LABELS,patientid", ","),
        ],
    )
    def test_is_understood(self, root: Path, header: str, separator: str) -> None:
        self.write(root, header, separator)
        data = read(root)
        assert data.labels == ["dr", "normal"]
        for items in data.splits.values():
            for item in items:
                number = int(Path(str(item.image)).stem)
                assert class_of(data, item) == ("dr" if number // 2 % 2 else "normal")
                assert item.group == f"p{number // 2}"

    @pytest.mark.parametrize(
        ("header", "wrong", "meant"),
        [
            ("file,lable,patient", "lable", "label"),
            ("file,label,pateint", "pateint", "patient"),
            ("file,label,patients", "patients", "patient"),
            ("file,label,patient key", "patient key", "patient"),
            ("flie,label,patient", "flie", "file"),
            ("file,label,spilt", "spilt", "split"),
        ],
    )
    def test_that_is_nearly_right_is_refused(self, root: Path, header: str, wrong: str, meant: str) -> None:
        self.write(root, header)
        with pytest.raises(TrainingError, match=f"is the column '{wrong}' meant as '{meant}'"):
            read(root)

    @pytest.mark.parametrize("other", ["patient_age", "Patient Sex", "site", "sex", "time", "height", "image quality"])
    def test_of_something_else_is_not(self, root: Path, other: str) -> None:
        self.write(root, f"file,label,{other}")
        assert f"not used: {other}" in read(root).summary()[0]

    def test_with_two_columns_for_one_thing_is_refused(self, root: Path) -> None:
        self.write(root, "file,diagnosis,class")
        with pytest.raises(TrainingError, match="'diagnosis' and 'class' may both be the label"):
            read(root)
        assert read(root, columns={"label": "diagnosis"}).labels == ["dr", "normal"]

    def test_with_one_name_twice_is_refused(self, root: Path) -> None:
        self.write(root, "file,label,label")
        with pytest.raises(TrainingError, match="two columns named 'label'"):
            read(root)
