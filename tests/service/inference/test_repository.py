"""Finding packages in a folder, by name and version."""

import shutil
from pathlib import Path

import onnx
import pytest

from models.package import PackageError
from service.inference.errors import UnknownModelError
from service.inference.execution import Execution
from service.inference.repository import Repository, packages


def load(folder: Path) -> Repository:
    return Repository.load(folder, Execution("cpu", 1))


def test_default_version_is_the_highest_number(tmp_path: Path, repository: Path) -> None:
    shutil.copytree(repository / "grey", tmp_path / "grey")
    shutil.copytree(repository / "grey" / "1", tmp_path / "grey" / "10")
    shutil.copytree(repository / "grey" / "1", tmp_path / "grey" / "9")
    loaded = load(tmp_path)
    assert loaded.get("grey").version == "10"
    assert list(loaded.models["grey"]) == ["1", "9", "10"]
    with pytest.raises(UnknownModelError, match="'2'"):
        loaded.get("grey", "2")


def test_other_files_in_the_repository_are_passed_over(tmp_path: Path, repository: Path) -> None:
    package = (repository / "grey" / "1" / "model.onnx").read_bytes()
    for folder in ("grey/1", "grey/draft", "grey/01", ".hidden/1"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "model.onnx").write_bytes(package)
    (tmp_path / "README.txt").write_text("hello")
    assert [str(path.relative_to(tmp_path)) for path in packages(tmp_path)] == ["grey/1/model.onnx"]


def test_an_empty_repository_says_the_layout(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match=r"<model>/<version>/model\.onnx"):
        load(tmp_path)


def test_a_package_in_the_wrong_folder(tmp_path: Path, repository: Path) -> None:
    (tmp_path / "other" / "1").mkdir(parents=True)
    (tmp_path / "other" / "1" / "model.onnx").write_bytes((repository / "grey" / "1" / "model.onnx").read_bytes())
    with pytest.raises(PackageError, match="'grey'"):
        load(tmp_path)


def test_broken_packages_name_the_file(tmp_path: Path, repository: Path) -> None:
    whole = (repository / "grey" / "1" / "model.onnx").read_bytes()
    target = tmp_path / "grey" / "1" / "model.onnx"
    target.parent.mkdir(parents=True)
    without_card = onnx.load_model_from_string(whole)
    del without_card.metadata_props[:]
    for content in (b"", b"garbage", whole[: len(whole) // 2], without_card.SerializeToString()):
        target.write_bytes(content)
        with pytest.raises(PackageError, match=r"grey/1/model\.onnx"):
            load(tmp_path)
