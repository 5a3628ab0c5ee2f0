"""What a package must show before it is served."""

import hashlib
from pathlib import Path

import pytest

from models.package import PackageError
from service.inference.execution import Execution
from service.inference.runtime import Model, load_model
from tests.service import packages
from tests.service.packages import Edit, edited


def load(path: Path) -> Model:
    return load_model(path, version="1", execution=Execution("cpu", 1))


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (packages.old_opset, "opset 19: a package needs 20"),
        (packages.custom_operator, "operators that ONNX does not define: com.example::Relu"),
        (packages.external_data, r"values in other files \(network.fc.bias\)"),
        (packages.external_data_in_a_subgraph, r"values in other files \(hidden\)"),
        (packages.not_finite, "output probabilities holds values that are not finite"),
        (packages.no_probabilities, "probabilities of an image sum to"),
        (packages.over_the_batch, "depends on the others in its batch"),
        (packages.without_card, "no model card"),
        (packages.bad_card, "the model card is not valid"),
    ],
)
def test_broken_packages_are_refused_with_the_reason(repository: Path, tmp_path: Path, edit: Edit, words: str) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(edited(repository / "colour" / "1" / "model.onnx", edit))
    with pytest.raises(PackageError, match=words) as caught:
        load(path)
    assert str(path) in str(caught.value)


def test_the_digest_beside_a_package_must_be_its_own(repository: Path, tmp_path: Path) -> None:
    path = packages.copy_model(repository, "grey", "1", tmp_path)
    right = hashlib.sha256(path.read_bytes()).hexdigest()
    beside = path.with_name("model.onnx.sha256")
    beside.write_text(f"{right}  model.onnx\n")
    assert load(path).digest == f"sha256:{right}"
    for wrong in ("0" * 64, "", "not a digest"):
        beside.write_text(wrong)
        with pytest.raises(PackageError, match=rf"{right}, but model\.onnx\.sha256 beside it says"):
            load(path)
