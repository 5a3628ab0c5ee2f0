"""A package of an earlier version gets a style reference, and answers as before."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper
from torch import Tensor

from models.fold import fold
from models.package import OUTPUTS, read_card, write_card
from training.datasets import read_dataset
from training.errors import TrainingError
from training.packaging.export import write_graph
from training.packaging.graph import PackagedNetwork
from training.run import Run
from training.style.add import add_style


class Earlier(PackagedNetwork):
    """The graph as it was before styles were computed in it, and as the packages of that time have it."""

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        network = self.network
        x = image.permute(0, 3, 1, 2).float() * self.scale + self.offset
        x, gates = network.maxpool(torch.relu(network.bn1(network.conv1(x)))), []
        for block in network.blocks().values():
            x, gate = block(x)
            gates.append(gate)
        logits = network.fc(x.mean(dim=(2, 3)))
        maps = torch.nn.functional.conv2d(x, network.fc.weight[:, :, None, None], network.fc.bias)
        calibrated = logits / self.temperature + self.log_prior_shift
        return torch.softmax(calibrated, dim=1), torch.cat(gates, dim=1), maps


@pytest.fixture
def earlier(finished: Run, package: Path, tmp_path: Path) -> Path:
    """The finished run's package as it was exported before packages had a style reference."""
    card, facts = read_card(onnxruntime.InferenceSession(package)), finished.facts()
    network = fold(finished.network(finished.recipe().checkpoint))
    calibration = card.calibration
    path = tmp_path / "model.onnx"
    packaged = Earlier(network, facts.normalisation, calibration.temperature, calibration.log_prior_shift)
    write_graph(packaged, card.input, path)
    model = onnx.load(path)
    named = {entry.name for entry in model.graph.initializer}
    for name, values in packaged.named_buffers():  # today's exporter merges some of them under names of its own
        if name not in named:
            model.graph.initializer.append(numpy_helper.from_array(values.numpy(), name))
    onnx.save(model, path)
    write_card(path, card.model_copy(update={"style": None, "scope": None, "schema_version": 2}))
    return path


def test_gives_the_reference_that_an_export_gives(finished: Run, package: Path, earlier: Path, tmp_path: Path) -> None:
    added = add_style(earlier, read_dataset(finished.recipe()), tmp_path / "repository", "3")
    before, after, exported = (onnxruntime.InferenceSession(path) for path in (earlier, added, package))
    card = read_card(after)
    assert (card.schema_version, card.version) == (3, "3")
    expected = read_card(exported).style
    assert card.style is not None
    assert expected is not None
    np.testing.assert_allclose(card.style.validation_quantiles, expected.validation_quantiles, atol=1e-3)
    shape = (4, card.input.height, card.input.width, card.input.channels)
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    for old, new in zip(before.run(None, {"image": images}), after.run(list(OUTPUTS), {"image": images}), strict=True):
        np.testing.assert_allclose(new, old, atol=1e-5)


def test_a_graph_of_another_origin_is_refused(finished: Run, package: Path, tmp_path: Path) -> None:
    model = onnx.load(package)
    [weight] = [entry for entry in model.graph.initializer if entry.name == "network.conv1.weight"]
    weight.name = "stem.weight"
    for node in model.graph.node:
        node.input[:] = ["stem.weight" if name == "network.conv1.weight" else name for name in node.input]
    other = tmp_path / "other.onnx"
    onnx.save(model, other)
    with pytest.raises(TrainingError, match="was not exported by this project"):
        add_style(other, read_dataset(finished.recipe()), tmp_path, "3")
