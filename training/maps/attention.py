"""Activation maps compared with recorded attention: where the network looks and where ophthalmologists looked.

Both measures are those of eye-tracking studies (Bylinskii et al., "What Do Different Evaluation Metrics Tell Us About
Saliency Models?", TPAMI 2019): the linear correlation of the two maps, and how far their most salient tenths overlap.
Attention is often in the middle of a photograph, so a map that only knows this already correlates. So each figure is
given beside the same figure with the attention of another image. Only the difference is about this image.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.card import InputSpec
from models.preprocessing import ImageError, cut, decode, preprocess
from models.resnet import ResNet
from training.data.pipeline import PrepareBatch
from training.datasets import Item
from training.errors import TrainingError
from training.evaluation.predict import decoded
from training.run import RunFacts

Maps = NDArray[np.float64]
"""(N, H, W)"""

SALIENT = 0.1
"""The fraction of pixels, the highest, that count as looked at."""


@torch.inference_mode()
def compare_attention(network: ResNet, items: Sequence[Item], facts: RunFacts) -> dict[str, Any] | None:
    """Compare the activation map of each image's most probable class with its attention map.

    None if fewer than two images have attention maps.

    Raises:
        TrainingError: if an attention map can't be read.
    """
    shown = [item for item in items if item.attention is not None]
    if len(shown) < 2:
        return None
    prepare, device = PrepareBatch(facts.normalisation), next(network.parameters()).device
    size = (facts.input.height, facts.input.width)
    activation = []
    for batch in decoded(shown, facts.input):
        images, _ = prepare(batch, device)
        explanation = network.explain(images)
        top = explanation.logits.argmax(dim=1)
        maps = explanation.class_activation[torch.arange(len(top), device=device), top]
        large = torch.nn.functional.interpolate(maps[:, None].float(), size, mode="bilinear", align_corners=False)
        activation.append(large[:, 0].double().cpu().numpy())
    ours, attention = np.concatenate(activation), np.stack([read_attention(item, facts.input) for item in shown])
    other = np.roll(attention, 1, axis=0)
    return {
        "images": len(shown),
        "correlation": float(correlation(ours, attention).mean()),
        "correlation_with_another_image": float(correlation(ours, other).mean()),
        "overlap": float(overlap(ours, attention).mean()),
        "overlap_with_another_image": float(overlap(ours, other).mean()),
        "overlap_by_chance": SALIENT / (2 - SALIENT),
    }


def read_attention(item: Item, spec: InputSpec) -> NDArray[np.float64]:
    """The attention map as the network sees the image, (H, W), grey."""
    assert item.attention is not None
    grey = spec.model_copy(update={"channels": 1, "content": "all"})
    try:
        data = item.attention.read_bytes()
        if spec.content == "all":
            return preprocess(data, grey).pixels[..., 0] / 255
        assert isinstance(item.image, Path)
        attention, image = decode(data, grey).image, preprocess(item.image.read_bytes(), spec)  # the image says where
        box = image.crop.scaled(attention.width / image.width, attention.height / image.height)
        return cut(attention, box, grey)[..., 0] / 255
    except (ImageError, OSError) as error:
        raise TrainingError(f"attention map {item.attention} can't be read: {error}") from None


def correlation(a: Maps, b: Maps) -> NDArray[np.float64]:
    """Pearson's correlation over the pixels of each pair of maps, (N,); 0 where a map is flat."""
    a, b = (maps - maps.mean(axis=(1, 2), keepdims=True) for maps in (a, b))
    scale = np.sqrt((a**2).sum(axis=(1, 2)) * (b**2).sum(axis=(1, 2)))
    return np.divide((a * b).sum(axis=(1, 2)), scale, out=np.zeros(len(a)), where=scale > 1e-12)


def overlap(a: Maps, b: Maps) -> NDArray[np.float64]:
    """Intersection over union of the highest :data:`SALIENT` part of the pixels of each pair of maps, (N,)."""
    inside = [salient(maps.reshape(len(maps), -1)) for maps in (a, b)]
    return np.asarray((inside[0] & inside[1]).sum(axis=1) / (inside[0] | inside[1]).sum(axis=1))


def salient(maps: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether each pixel (N, H * W) is among the highest. Of equal pixels, the first ones count."""
    count = max(1, round(SALIENT * maps.shape[1]))
    highest = np.argsort(-maps, axis=1, kind="stable")[:, :count]
    inside = np.zeros(maps.shape, dtype=bool)
    np.put_along_axis(inside, highest, True, axis=1)
    return inside
