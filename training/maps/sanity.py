"""Do gates and activation maps come from what the network learned, and does the map lie on the retina?

Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018, section 3.1: the weights are randomised from the
classifier down, stage after stage, and the explanations are compared by rank with those of the trained network. An
explanation that stays the same is one of the image, as an edge detector's, and not of the network. Here the values of
each parameter and of each BatchNorm statistic are permuted, since a fresh gate of SRM is the same for every channel.
"""

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, gaussian_filter, label
from scipy.stats import rankdata
from sklearn.cluster import KMeans
from torch import Tensor, nn

from models.resnet import Explanation, ResNet
from training.data.pipeline import IMAGE, PrepareBatch, spread
from training.datasets import Item
from training.evaluation.predict import decoded
from training.maps.attention import correlation
from training.run import RunFacts

MOST = 100
"""Images of a split, spread evenly."""
WHITE = 250
"""Grey values from here on that touch the border are what a scanner fills moved scans with."""


@torch.inference_mode()
def check_maps(network: ResNet, items: Sequence[Item], facts: RunFacts, *, b_scans: bool) -> dict[str, Any]:
    """Rank correlation of maps and gates after each step of the randomisation; of B-scans, mass on the retina too.

    The map is the one of the trained network's most probable class. Correlations are means over the images, and of
    gates within each block first: means of blocks differ, whatever the weights are. Gates are None without any.
    """
    chosen = spread(items, MOST)
    prepare, device = PrepareBatch(facts.normalisation), next(network.parameters()).device
    batches = list(decoded(chosen, facts.input))
    images = [prepare(batch, device)[0] for batch in batches]
    trained = [network.explain(batch) for batch in images]
    tops = [explanation.logits.argmax(dim=1) for explanation in trained]
    random, changed = torch.Generator().manual_seed(0), copy.deepcopy(network)
    cascade = []
    for name, modules in stages(changed):
        for module in modules:
            permute_values(module, random)
        now = [changed.explain(batch) for batch in images]
        cascade.append({"randomised_from": name, **agreement(trained, now, tops)})
    found: dict[str, Any] = {"images": len(chosen), "cascade": cascade}
    if b_scans:
        maps = np.concatenate([top_maps(*pair) for pair in zip(trained, tops, strict=True)])
        pixels = np.concatenate([batch[IMAGE].float().mean(dim=1).numpy() for batch in batches])
        found["on_retina"] = mass_on_retina(maps, pixels)
    return found


def stages(network: ResNet) -> list[tuple[str, list[nn.Module]]]:
    """From the classifier to the stem."""
    between = [(name, [network.get_submodule(name)]) for name in reversed(network.stage_names)]
    return [("fc", [network.fc]), *between, ("conv1", [network.conv1, network.bn1])]


@torch.no_grad()
def permute_values(module: nn.Module, random: torch.Generator) -> None:
    """Permute the values within each parameter and statistic, in place."""
    for values in (*module.parameters(), *module.buffers()):
        order = torch.randperm(values.numel(), generator=random).to(values.device)
        values.copy_(values.flatten()[order].reshape(values.shape))


def agreement(
    trained: Sequence[Explanation], now: Sequence[Explanation], tops: Sequence[Tensor]
) -> dict[str, float | None]:
    maps, gates = [], []
    for before, after, top in zip(trained, now, tops, strict=True):
        maps.append(rank_correlation(top_maps(before, top), top_maps(after, top)))
        blocks = before.recalibration_weights
        if blocks:
            by_block = [
                rank_correlation(weights.cpu().numpy(), after.recalibration_weights[block].cpu().numpy())
                for block, weights in blocks.items()
            ]
            gates.append(np.mean(by_block, axis=0))
    return {
        "map": float(np.concatenate(maps).mean()),
        "gates": float(np.concatenate(gates).mean()) if gates else None,
    }


def top_maps(explanation: Explanation, top: Tensor) -> NDArray[np.float64]:
    """The class activation map (N, h, w) of one class an image."""
    maps = explanation.class_activation[torch.arange(len(top), device=top.device), top]
    return maps.double().cpu().numpy()


def rank_correlation(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.float64]:
    """Spearman's correlation of each pair (N, ...), (N,); 0 where one is flat."""
    a, b = (rankdata(values.reshape(len(values), -1), axis=1)[:, None] for values in (a, b))
    return correlation(a, b)


def mass_on_retina(maps: NDArray[np.float64], pixels: NDArray[np.float32]) -> dict[str, float]:
    """How much of the positive map (N, h, w) lies on the retina of B-scans (N, H, W), and how much of the image does.

    A map that knows nothing of the retina has as much mass on it as the retina has area.
    """
    masks = np.stack([retina(image) for image in pixels])
    large = torch.nn.functional.interpolate(
        torch.from_numpy(maps.clip(min=0))[:, None], masks.shape[1:], mode="bilinear", align_corners=False
    )[:, 0].numpy()
    total = large.sum(axis=(1, 2))
    mass = np.divide((large * masks).sum(axis=(1, 2)), total, out=np.zeros(len(total)), where=total > 0)
    return {"mass": float(mass[total > 0].mean()), "area": float(masks[total > 0].mean())}


def retina(image: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Where the retina is in a B-scan (H, W) of grey values from 0 to 255.

    The image is smoothed by a Gaussian of a hundredth of its height, and split in two by its grey values with the least
    variance within (Otsu's criterion). The largest connected bright part, and those a third as large or larger, are the
    retina, in every column from the first row to the last: fluid and dark layers belong to it. White areas at the
    border, and two pixels around them, count as dark.
    """
    fill = binary_dilation(at_border(image >= WHITE), iterations=2)  # with its blurred rim
    shown = np.where(fill, np.median(image), image).astype(np.float64)
    smooth = gaussian_filter(shown, image.shape[0] / 100)
    split = KMeans(2, n_init=1, init=np.percentile(smooth, [[10], [95]]), random_state=0).fit(smooth.reshape(-1, 1))
    bright = (split.labels_ == split.cluster_centers_.argmax()).reshape(image.shape)
    parts, count = label(bright)
    sizes = np.bincount(parts.ravel(), minlength=count + 1) * (np.arange(count + 1) > 0)
    large = (sizes >= sizes.max() / 3)[parts] & bright
    return np.asarray(np.maximum.accumulate(large) & np.maximum.accumulate(large[::-1])[::-1])


def at_border(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The connected parts of a mask that touch the image's border."""
    parts, _ = label(mask)
    edges = np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]])
    return np.isin(parts, np.setdiff1d(edges, 0))
