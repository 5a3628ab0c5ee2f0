"""The tiny packages that ``tests/fixtures`` ships without weights are what training exports today."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.fixtures.make_tiny_packages import FOLDER, TINY, write_without_weights


@pytest.mark.parametrize("name", TINY)
def test_are_what_training_exports(name: str, tmp_path: Path) -> None:
    write_without_weights(name, tmp_path / "model.onnx")
    shipped, made = onnx.load(FOLDER / f"{name}.onnx"), onnx.load(tmp_path / "model.onnx")
    assert [(node.op_type, list(node.input)) for node in shipped.graph.node] == [
        (node.op_type, list(node.input)) for node in made.graph.node
    ]
    for old, new in zip(shipped.graph.initializer, made.graph.initializer, strict=True):
        assert (old.name, old.dims, bool(old.raw_data)) == (new.name, new.dims, bool(new.raw_data))
        if old.raw_data:
            np.testing.assert_allclose(numpy_helper.to_array(old), numpy_helper.to_array(new), rtol=1e-5, atol=1e-6)
    assert list(shipped.metadata_props) == list(made.metadata_props)
