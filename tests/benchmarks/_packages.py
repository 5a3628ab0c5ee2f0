"""The packages that the serving benchmarks serve."""

from pathlib import Path

from models.architecture import Architecture
from models.fold import fold
from models.package import package_path, write_card
from tests.conftest import LABELS


def write_package(repository: Path, depth: int, size: int = 224, stem: str = "imagenet") -> Path:
    """A package of an SRM-ResNet with random weights, named ``srm<depth>-<size>px``."""
    from tests.fixtures.make_tiny_packages import tiny_card
    from tests.training.networks import random_network
    from training.data.pipeline import Normalisation
    from training.packaging.export import write_graph
    from training.packaging.graph import PackagedNetwork

    architecture = Architecture.model_validate(
        {"depth": depth, "stem": stem, "num_classes": len(LABELS), "image_size": size}
    )
    network = random_network(architecture, 0)
    card = tiny_card(f"srm{depth}-{size}px", architecture, network)
    path = package_path(repository, card.name, "1")
    path.parent.mkdir(parents=True)
    normalisation = Normalisation([0.5] * 3, [0.25] * 3)
    write_graph(PackagedNetwork(fold(network), normalisation, 1.0, [0.0] * len(LABELS)), card.input, path)
    write_card(path, card)
    return path
