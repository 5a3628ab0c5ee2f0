"""How well a package's style shift tells images unlike training from a test split, beside other scores.

``python -m training shift`` prints it. Nothing is fitted here but the baselines, on the training images; thresholds
are the 95th percentile of the validation images. The style shift stands beside that of the network's blocks alone,
without the block that is the image itself. Baselines: the largest probability (Hendrycks and Gimpel 2017), energy
(Liu et al. 2020), Mahalanobis distance (Lee et al. 2018) and distance to the 10th nearest neighbour (Sun et al. 2022),
both on the features before the classifier.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageOps
from scipy.special import logsumexp
from sklearn.covariance import LedoitWolf
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

from models.card import STYLE_OUTPUTS, InputSpec
from models.package import read_card
from models.preprocessing import fit, preprocess
from training.data.pipeline import cached, spread
from training.datasets import DataSet, Item
from training.datasets.released import SUFFIXES, visible
from training.style.corruptions import Corruption

MOST = 300
"""Images of a folder, spread evenly, and of a split for each corruption."""
NEIGHBOURS = 10
FEATURES = "features"
BATCH = 64

Pixels = NDArray[np.uint8]
Scores = dict[str, NDArray[np.float64]]


def detect(
    package: Path,
    data: DataSet,
    corruptions: Mapping[str, Corruption],
    *,
    against: Mapping[str, Path] | None = None,
    side: int | None = None,
) -> dict[str, Any]:
    """Print and return AUROC and detection at the 95th percentile of validation, by set of images and score.

    Args:
        package: with a style reference.
        data: its own data, in its splits.
        corruptions: by name.
        against: other folders of images by name.
        side: change pictures at this many pixels, before the resize; the input's size unless named.
    """
    spec = read_card(onnxruntime.InferenceSession(package, providers=["CPUExecutionProvider"])).input
    measure = Measure(package, pixels_of(data.splits["train"], spec))
    validation, test = (measure(pixels_of(data.splits[split], spec)) for split in ("val", "test"))
    limits = {name: float(np.quantile(values, 0.95)) for name, values in validation.items()}
    figures: dict[str, Any] = {"false alarms": {name: float((test[name] > limits[name]).mean()) for name in limits}}
    print_row("false alarms on the test split", figures["false alarms"])
    drawn = spec if side is None else spec.model_copy(update={"height": side, "width": side})
    pictures = [Image.fromarray(pixels.squeeze()) for pixels in pixels_of(spread(data.splits["test"], MOST), drawn)]
    unchanged = measure([fit(picture, spec) for picture in pictures])  # resized as the changed ones are
    for name, images in unusual(pictures, spec, against or {}, corruptions):
        scores = measure(images)
        rows = {
            score: {"AUROC": auroc(unchanged[score], values), "detected": float((values > limits[score]).mean())}
            for score, values in scores.items()
        }
        figures[name] = rows
        print_row(name, {score: row["AUROC"] for score, row in rows.items()}, rows["style shift"]["detected"])
    return figures


def auroc(usual: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    return float(roc_auc_score(np.r_[np.zeros(len(usual)), np.ones(len(other))], np.r_[usual, other]))


def print_row(name: str, values: Mapping[str, float], detected: float | None = None) -> None:
    cells = "".join(f"{score}: {value:.3f}  " for score, value in values.items())
    print(f"{name:<34}{cells}" + ("" if detected is None else f"detected: {detected:.3f}"), flush=True)


class Measure:
    """Every score of images, higher for the more unusual; the style shift comes out of the package's graph."""

    def __init__(self, package: Path, train: Sequence[Pixels]) -> None:
        self.session = onnxruntime.InferenceSession(with_features(package), providers=["CPUExecutionProvider"])
        features = np.concatenate([self.run(batch)[-1] for batch in batches(train)])
        self.density = LedoitWolf().fit(features)
        self.neighbours = NearestNeighbors(n_neighbors=NEIGHBOURS).fit(unit_length(features))

    def __call__(self, images: Sequence[Pixels]) -> Scores:
        shifts, by_block, values, features = (
            np.concatenate(parts) for parts in zip(*map(self.run, batches(images)), strict=True)
        )
        log_probabilities = values - logsumexp(values, axis=1, keepdims=True)
        return {
            "style shift": shifts,
            "without the image's own": by_block[:, 1:].max(axis=1),
            "softmax": -np.exp(log_probabilities.max(axis=1)),
            "energy": -logsumexp(values, axis=1),
            "Mahalanobis": self.density.mahalanobis(features),
            "neighbours": self.neighbours.kneighbors(unit_length(features))[0][:, -1],
        }

    def run(self, batch: Pixels) -> tuple[NDArray[np.float64], ...]:
        """Style shift (N,) and by block (N, B), logits (N, K) and last features (N, C) of images (N, H, W, C)."""
        shift, by_block, maps, features = self.session.run(
            [*STYLE_OUTPUTS, "class_activation", FEATURES], {"image": batch}
        )
        return tuple(values.astype(np.float64) for values in (shift, by_block, maps.mean(axis=(2, 3)), features))


def with_features(package: Path) -> bytes:
    """The package with one output more: what its classifier gets."""
    model = onnx.load(package)
    [classifier] = [node for node in model.graph.node if node.op_type == "Gemm" and "network.fc.weight" in node.input]
    model.graph.node.append(onnx.helper.make_node("Identity", [classifier.input[0]], [FEATURES]))
    model.graph.output.append(onnx.helper.make_tensor_value_info(FEATURES, onnx.TensorProto.FLOAT, None))
    return bytes(model.SerializeToString())


def unusual(
    pictures: Sequence[Image.Image], spec: InputSpec, against: Mapping[str, Path], corruptions: Mapping[str, Corruption]
) -> Iterator[tuple[str, list[Pixels]]]:
    """Every set of unusual images by its name: other folders, made-up pictures, changed pictures of the test split."""
    random = np.random.default_rng(0)
    shape = (spec.height, spec.width, spec.channels)
    for name, folder in against.items():
        files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and visible(path, folder))
        yield name, [preprocess(path.read_bytes(), spec).pixels for path in spread(files, MOST)]
    yield "blank", [np.full(shape, grey, np.uint8) for grey in range(0, 256, 5)]
    yield "noise", [random.integers(0, 256, shape, dtype=np.uint8) for _ in range(50)]
    yield "text pages", [fit(page(random), spec) for _ in range(50)]
    changes: dict[str, Callable[[Image.Image], Image.Image]] = {
        "inverted": ImageOps.invert,
        "upside down": ImageOps.flip,
        "letterbox": lambda image: ImageOps.pad(image.resize((image.width, image.height * 2 // 3)), image.size),
        "white border": lambda image: ImageOps.expand(image, image.width // 5, "white"),
    }
    for name, change in changes.items():
        yield name, [fit(change(image), spec) for image in pictures]
    for name, corrupt in corruptions.items():
        for severity in range(1, 6):
            yield f"{name}, {severity}", [fit(corrupt(image, severity, random), spec) for image in pictures]


def page(random: np.random.Generator) -> Image.Image:
    """A white page with lines of letters."""
    image = Image.new("RGB", (600, 600), "white")
    draw = ImageDraw.Draw(image)
    for line in range(20, 580, 16):
        words = " ".join("".join(chr(97 + letter) for letter in random.integers(0, 26, 7)) for _ in range(9))
        draw.text((20, line), words, fill="black")
    return image


def pixels_of(items: Sequence[Item], spec: InputSpec) -> list[Pixels]:
    """Images (H, W, C), as views of where they are kept, which can be larger than memory."""
    images = cached(items, spec)
    return [
        np.asarray(images.parts[part])[row].transpose(1, 2, 0)
        for part, row in zip(images.part, images.row, strict=True)
    ]


def batches(images: Sequence[Pixels]) -> Iterator[Pixels]:
    for start in range(0, len(images), BATCH):
        yield np.stack(images[start : start + BATCH])


def unit_length(features: NDArray[np.float64]) -> NDArray[np.float64]:
    return features / np.linalg.norm(features, axis=1, keepdims=True)
