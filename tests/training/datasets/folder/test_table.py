"""Tables: what a CSV says of files, labels, patients, splits and more, and headers as people write them."""

import csv
import re
from pathlib import Path

import pytest

from tests.training.datasets.folder_trees import SPLITS, all_files, class_of, files_of, read
from tests.training.tiny_data import write_manifest, write_tree
from training.datasets.folder.kept import keep_images
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
            ("file,label,patient", " , "),
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


COLUMNS = {"file": "scan", "patient": "who", "eye": "side", "split": "fold", "weight": "times", "subgroups": ["sex"]}


class TestNamedColumns:
    """A table beside nothing, whose columns have names of their own."""

    def write(self, root: Path, rows: list[dict[str, object]]) -> Path:
        """80 images in one flat folder; the table is elsewhere."""
        write_tree(root / "images", {"all": 80})
        table = root / "tables" / "labels.csv"
        table.parent.mkdir()
        with table.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        return table

    def rows(self) -> list[dict[str, object]]:
        """Two images a patient; drusen in every other patient, haemorrhage in every third."""
        return [
            {
                "scan": f"all/{n:03}.png",
                "who": f"p{n // 2}",
                "D": int(n // 2 % 2 == 0),
                "H": int(n // 2 % 3 == 0),
                "found": "; ".join(["drusen"] * (n // 2 % 2 == 0) + ["haemorrhage"] * (n // 2 % 3 == 0)),
                "side": "OD" if n % 2 else "OS",
                "fold": ("train", "train", "val", "test")[n // 12 % 4],
                "times": 1 + n % 3,
                "sex": "f" if n // 2 % 5 else "m",
            }
            for n in range(80)
        ]

    def test_of_labels_each_in_its_own(self, tmp_path: Path) -> None:
        table, rows = self.write(tmp_path, self.rows()), self.rows()
        data = read(tmp_path / "images", task="multi-label", manifest=table, columns={**COLUMNS, "label": ["H", "D"]})
        assert data.labels == ["H", "D"]
        found = {
            str(Path(str(item.image)).relative_to(tmp_path / "images")): (item.label, item.group, split, item.weight)
            for split, items in data.splits.items()
            for item in items
        }
        assert found == {row["scan"]: ((row["H"], row["D"]), row["who"], row["fold"], row["times"]) for row in rows}

    def test_of_labels_in_a_list(self, tmp_path: Path) -> None:
        table = self.write(tmp_path, self.rows())
        columns = {**COLUMNS, "label": "found", "delimiter": ";"}
        data = read(tmp_path / "images", task="multi-label", manifest=table, columns=columns)
        assert data.labels == ["drusen", "haemorrhage"]
        labels = {item.id: item.label for items in data.splits.values() for item in items}
        assert labels == {row["scan"]: (row["D"], row["H"]) for row in self.rows()}

    def test_without_a_split_is_divided_by_patient(self, tmp_path: Path) -> None:
        table = self.write(tmp_path, self.rows())
        columns = {"file": "scan", "patient": "who", "label": ["D", "H"]}
        data = read(tmp_path / "images", task="multi-label", manifest=table, columns=columns)
        patients = [{item.group for item in items} for items in data.splits.values()]
        assert sum(map(len, patients)) == len(set.union(*patients)) == 40

    def test_that_alone_is_the_data(self, tmp_path: Path) -> None:
        rows = [row | {"scan": f"../images/{row['scan']}"} for row in self.rows()]
        table = self.write(tmp_path, rows)
        data = read(table, task="multi-label", columns={**COLUMNS, "label": ["D", "H"]})
        assert (sum(map(len, data.splits.values())), data.name) == (80, "labels")

    def test_with_a_patient_in_two_splits_is_refused(self, tmp_path: Path) -> None:
        rows = self.rows()
        rows[0]["fold"] = "test"
        table = self.write(tmp_path, rows)
        with pytest.raises(TrainingError, match="patient 'p0' has images in train and in test: correct the split"):
            read(tmp_path / "images", task="multi-label", manifest=table, columns={**COLUMNS, "label": ["D", "H"]})

    @pytest.mark.parametrize(
        ("columns", "words"),
        [
            ({"label": ["D", "X"]}, "has no column 'X', which folder.columns names"),
            ({"label": "D"}, "task: multi-label needs any number of labels"),
            ({"label": ["D", "times"]}, "times of all/001.png is '2': write 1 where the image has the label, else 0"),
            ({"label": ["D", "H"], "weight": "sex"}, "the weight of all/000.png is 'm': write a number above 0"),
        ],
    )
    def test_that_can_not_be_is_refused(self, tmp_path: Path, columns: dict[str, object], words: str) -> None:
        table = self.write(tmp_path, self.rows())
        with pytest.raises(TrainingError, match=re.escape(words)):
            read(tmp_path / "images", task="multi-label", manifest=table, columns={"file": "scan", **columns})

    def test_of_any_number_of_labels_are_not_for_one_class(self, tmp_path: Path) -> None:
        table = self.write(tmp_path, self.rows())
        with pytest.raises(TrainingError, match="set it to multi-label"):
            read(tmp_path / "images", manifest=table, columns={**COLUMNS, "label": ["D", "H"]})

    def test_are_kept_with_the_run(self, tmp_path: Path) -> None:
        table = self.write(tmp_path, self.rows())
        data = read(tmp_path / "images", task="multi-label", manifest=table, columns={**COLUMNS, "label": ["D", "H"]})
        keep_images(data, tmp_path / "images.csv")
        with (tmp_path / "images.csv").open(newline="") as file:
            kept = {row["id"]: row for row in csv.DictReader(file)}
        for row in self.rows():
            names = "|".join(name for name in "DH" if row[name])
            expected = [row["fold"], names, row["who"], str(row["times"]), row["side"], row["sex"]]
            assert list(kept[str(row["scan"])].values())[1:] == expected
