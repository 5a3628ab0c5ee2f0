"""Office-Home with one domain left out."""

import shutil
from pathlib import Path

import pytest

from tests.training import released_trees as trees
from training.datasets.office_home import read_office_home
from training.errors import TrainingError
from training.recipe import FolderSpec, OfficeHomeSpec

SPEC = FolderSpec(validation=0.25)


@pytest.mark.parametrize("domain", ["Art", "Real World"])
def test_only_the_left_out_domain_is_tested(tmp_path: Path, domain: str) -> None:
    root = trees.office_home(tmp_path / "OfficeHomeDataset_10072016")
    data = read_office_home(tmp_path, OfficeHomeSpec.model_validate({"test_domain": domain}), SPEC)
    of_domain = {split: {item.id.split("/")[0] for item in items} for split, items in data.splits.items()}
    others = {folder.name for folder in root.iterdir()} - {domain}
    assert of_domain == {"train": others, "val": others, "test": {domain}}
    assert len(data.splits["test"]) == 12
    assert len(data.splits["val"]) == 9
    assert data.name == f"Office-Home, {domain} left out"


def test_a_domain_that_is_not_there(tmp_path: Path) -> None:
    shutil.rmtree(trees.office_home(tmp_path) / "Clipart")
    with pytest.raises(TrainingError, match="lacks Clipart; expected layout"):
        read_office_home(tmp_path, OfficeHomeSpec(), SPEC)
