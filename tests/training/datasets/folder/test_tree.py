"""Trees of folders as people keep them: splits, patients, DICOM files, and what is no image."""

from pathlib import Path

import pytest
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

from models.card import InputSpec
from tests.training.datasets.folder_trees import all_files, class_of, read
from tests.training.tiny_data import write_manifest, write_tree
from training.check import read_source
from training.data.pipeline import cached
from training.errors import TrainingError


def write_dicom(path: Path, value: int, patient: str = "") -> None:
    """A grey image of 12 x 12 pixels with one value, as a DICOM file."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = SecondaryCaptureImageStorage, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    file.SOPClassUID, file.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    file.PatientID = patient
    file.Rows = file.Columns = 12
    file.BitsAllocated = file.BitsStored = 8
    file.HighBit, file.PixelRepresentation, file.SamplesPerPixel = 7, 0, 1
    file.PhotometricInterpretation = "MONOCHROME2"
    file.PixelData = bytes([value]) * 144
    path.parent.mkdir(parents=True, exist_ok=True)
    file.save_as(path)


def write_split_tree(root: Path, splits: dict[str, int]) -> None:
    for split, count in splits.items():
        write_tree(root / split, {"CNV": count, "NORMAL": count})


class TestSplitFolders:
    """As Kermany's and every ImageFolder data set: train/NORMAL/x.jpeg."""

    def test_are_the_splits(self, tmp_path: Path) -> None:
        write_split_tree(tmp_path, {"train": 5, "Val": 2, "testing": 3})
        data = read(tmp_path)
        assert data.labels == ["CNV", "NORMAL"]
        assert {split: len(items) for split, items in data.splits.items()} == {"train": 10, "val": 4, "test": 6}
        for split, items in data.splits.items():
            for item in items:
                top, label, _ = Path(str(item.image)).relative_to(tmp_path).parts
                assert (top.lower()[: len(split)], label) == (split, class_of(data, item))
        assert not data.random_split

    @pytest.mark.parametrize(("given", "cut"), [(("train", "test"), "val"), (("train", "val"), "test")])
    def test_what_is_not_given_is_cut_from_train(self, tmp_path: Path, given: tuple[str, str], cut: str) -> None:
        write_split_tree(tmp_path, dict(zip(given, (40, 10), strict=True)))
        data = read(tmp_path, validation=0.25, test=0.25)
        assert {split: len(items) for split, items in data.splits.items()} == {"train": 60, given[1]: 20, cut: 20}
        assert all("/train/" in str(item.image) for item in data.splits[cut])
        assert f"{cut} cut from train" in data.split_rule

    def test_of_test_alone_are_no_data_to_train_on(self, tmp_path: Path) -> None:
        write_split_tree(tmp_path, {"test": 5})
        with pytest.raises(TrainingError, match="the train split has no image of CNV"):
            read(tmp_path)

    def test_beside_another_folder_are_refused(self, tmp_path: Path) -> None:
        write_split_tree(tmp_path, {"train": 5, "val": 5, "test": 5, "unlabelled": 5})
        with pytest.raises(TrainingError, match=r"1 folder beside the split folders.*\(unlabelled\)"):
            read(tmp_path)

    def test_are_read_alike_by_the_check(self, tmp_path: Path) -> None:
        write_split_tree(tmp_path, {"train": 5, "val": 2, "test": 3})
        (tmp_path / "train" / "CNV" / "._000.png").write_bytes(b"AppleDouble")
        fitted = {
            (str(item.image), split, class_of(data, item))
            for data in [read(tmp_path)]
            for split, items in data.splits.items()
            for item in items
        }
        assert {(str(e.image), e.split, e.label) for e in read_source(tmp_path).entries} == fitted


class TestPatientFolders:
    def write(self, root: Path, patients: dict[str, int]) -> None:
        """Two images a patient."""
        for label, count in patients.items():
            write_tree(root / label, {f"{label}-{number}": 2 for number in range(count)})

    def test_are_never_in_two_splits(self, tmp_path: Path) -> None:
        self.write(tmp_path, {"a": 20, "b": 20})
        data = read(tmp_path)
        assert data.labels == ["a", "b"]
        where = {split: {Path(str(item.image)).parent.name for item in items} for split, items in data.splits.items()}
        assert sum(map(len, where.values())) == len(set.union(*where.values())) == 40
        assert "random by patient" in data.split_rule
        assert {e.patient for e in read_source(tmp_path).entries} == set.union(*where.values())

    def test_with_one_name_in_two_classes_are_one_patient(self, tmp_path: Path) -> None:
        for label in "ab":
            write_tree(tmp_path / label, {f"P{number}": 1 for number in range(20)})
        for items in read(tmp_path).splits.values():
            labels: dict[str, set[object]] = {}
            for item in items:
                labels.setdefault(Path(str(item.image)).parent.name, set()).add(item.label)
            assert set(map(len, labels.values())) == {2}

    def test_in_two_splits_are_refused_by_name(self, tmp_path: Path) -> None:
        for split in ("train", "val", "test"):
            for label in "ab":
                write_tree(tmp_path / split / label, {f"{split}-{label}": 2, "P7" if split != "test" else "P8": 1})
        with pytest.raises(
            TrainingError, match=r"patient 'P7' has images in train and in val: .*folder\.subfolders to ignore"
        ):
            read(tmp_path)
        assert len(read(tmp_path, subfolders="ignore").splits["train"]) == 6

    def test_may_be_parts_of_a_class(self, tmp_path: Path) -> None:
        write_tree(tmp_path / "cnv", {"active": 20, "scar": 20})
        write_tree(tmp_path, {"normal": 20})
        assert read(tmp_path, subfolders="class").labels == ["cnv/active", "cnv/scar", "normal"]

    def test_of_one_name_are_no_patients(self, tmp_path: Path) -> None:
        for label in "ab":
            write_tree(tmp_path / label, {"images": 20})
        data = read(tmp_path)
        assert "no patient is known" in data.split_rule
        assert len(all_files(data)) == 40


class TestWhatIsAnImage:
    def test_hidden_files_are_none(self, tree: Path) -> None:
        (tree / "cnv" / "._000.png").write_bytes(b"AppleDouble")
        (tree / "cnv" / ".ipynb_checkpoints").mkdir()
        (tree / "cnv" / ".ipynb_checkpoints" / "000.png").write_bytes((tree / "cnv" / "000.png").read_bytes())
        assert len(all_files(read(tree))) == 120
        assert len(read_source(tree).entries) == 120

    @pytest.mark.parametrize("name", ["scan{}.dcm", "scan{}", "1.2.840.{}"])
    def test_dicom_files_are(self, tmp_path: Path, name: str) -> None:
        for label, value in {"dark": 40, "light": 200}.items():
            for number in range(10):
                write_dicom(tmp_path / label / name.format(number), value)
            (tmp_path / label / "README").write_text("no image " * 40)
        data = read(tmp_path)
        items = [item for items in data.splits.values() for item in items]
        assert len(items) == 20
        assert len(cached(items, InputSpec(height=12, width=12, channels=1))) == 20
        assert len(read_source(tmp_path).entries) == 20

    def test_beside_the_classes_is_left_out_and_said(self, tree: Path) -> None:
        Image.new("L", (4, 4)).save(tree / "logo.png")
        finding = next(finding for finding in read_source(tree).findings if finding.examples)
        assert (finding.severity, finding.examples) == ("info", ["logo.png"])
        assert len(all_files(read(tree))) == len(read_source(tree).entries) == 120


class TestOrder:
    def test_of_numbers_is_that_of_numbers(self, tmp_path: Path) -> None:
        write_tree(tmp_path, {str(grade): 12 for grade in (10, 9, 0, 2)})
        assert read(tmp_path, task="ordinal").labels == ["0", "2", "9", "10"]

    def test_of_words_must_be_stated(self, tmp_path: Path) -> None:
        write_tree(tmp_path, {"mild": 12, "none": 12, "severe": 12})
        with pytest.raises(TrainingError, match=r"order of the grades.*--set folder\.labels="):
            read(tmp_path, task="ordinal")
        assert read(tmp_path, task="ordinal", labels=["none", "mild", "severe"]).labels == ["none", "mild", "severe"]
        assert read(tmp_path).labels == ["mild", "none", "severe"]


def test_the_summary_counts_splits_patients_and_labels(tmp_path: Path) -> None:
    files = write_tree(tmp_path, {"a": 12, "b": 24})
    split = {0: "train", 1: "val", 2: "test"}
    rows = [
        {"file": f, "patient_id": f"{n % 12 // 4}-{n % 2}", "split": split[n % 12 // 4]} for n, f in enumerate(files)
    ]
    write_manifest(tmp_path, rows)
    layout, *lines = read(tmp_path).summary()
    assert "file: file; label: the folder's name; patient: patient_id; split: split" in layout
    assert lines == [f"{name}: 12 images of 2 patients: a 4, b 8" for name in ("train", "val", "test")]


class TestDicomPatients:
    """Two images each of forty patients, whose folders say nothing of them."""

    def write(self, root: Path, of: list[str]) -> None:
        for number, patient in enumerate(of):
            write_dicom(root / ("ill" if int(patient or 0) % 2 else "well") / f"{number}", number, patient)

    def test_of_headers_stay_in_one_split(self, tmp_path: Path) -> None:
        self.write(tmp_path, [str(1000 + number // 2) for number in range(80)])
        data = read(tmp_path)
        groups = {split: {item.group for item in items} for split, items in data.splits.items()}
        assert sum(map(len, groups.values())) == 40
        assert len(set.union(*groups.values())) == 40
        assert "by patient" in data.split_rule
        assert any("Patient IDs" in line for line in data.layout)
        assert not any("10" in group and len(group) > len("patient 40") for of in groups.values() for group in of)

    def test_in_two_split_folders_are_refused(self, tmp_path: Path) -> None:
        for split in ("train", "val", "test"):
            self.write(tmp_path / split, ["7", "8"])
        with pytest.raises(TrainingError, match=r"patient 1.*has images in train and in val"):
            read(tmp_path)

    @pytest.mark.parametrize("patient", ["", "0"])
    def test_that_all_share_are_none(self, tmp_path: Path, patient: str) -> None:
        for number in range(40):
            write_dicom(tmp_path / ("ill" if number % 2 else "well") / f"{number}", number, patient)
        assert "no patient is known" in read(tmp_path).split_rule
