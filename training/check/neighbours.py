"""If patients are unknown: was a split drawn image by image, or were related images kept together?

Each image's nearest neighbour is found by the correlation of thumbnails without their mean. If a split
is drawn image by image, the neighbours are in it as often as by chance. The exact distribution comes from drawing the
split again many times (a permutation test). If neighbours are in it more often, then similar images, such as those of
one patient, were kept together, or the splits have different sources. If they are in it as often as by chance, nothing
follows: the validation split of octmini, which is by patient, looks so too. The test sees only images that look alike.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from training.check.duplicates import Pair, Thumbnails

PERMUTATIONS = 2000
MOST_QUERIES = 5000


class Kinship(BaseModel):
    """How a held-out split relates to the training split."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    split: str
    own: float
    """Fraction of the images of the split whose nearest neighbour, among the split and train, is in the split."""
    own_by_chance: tuple[float, float, float]
    """Mean and central 95 % of that fraction, if the split were drawn image by image."""
    p_value: float
    """How often a split drawn image by image has a fraction as large."""
    near_across: int
    """Near-duplicate pairs with one image in the split and one in train."""
    near_inside: int
    """Near-duplicate pairs within the split or within train."""
    near_across_by_chance: tuple[float, float, float]


def kinship(
    splits: Sequence[str | None], thumbnails: Thumbnails, near: Sequence[Pair], split: str, seed: int = 0
) -> Kinship | None:
    """Compare a split with train. None if one of them is empty."""
    members = np.array([name in ("train", split) for name in splits])
    held_out = np.array([name == split for name in splits])
    pool = np.flatnonzero(members)
    if not held_out.any() or held_out[pool].all():
        return None
    random = np.random.default_rng(seed)
    position = np.full(len(splits), -1)
    position[pool] = np.arange(len(pool))
    queries = np.arange(len(pool))
    if len(pool) > MOST_QUERIES:
        queries = np.sort(random.choice(queries, MOST_QUERIES, replace=False))
    neighbour = nearest(thumbnails, pool, queries)
    pairs = np.array([(position[p.first], position[p.second]) for p in near if members[p.first] and members[p.second]])
    pairs = pairs.reshape(-1, 2).astype(np.int64)
    inside = held_out[pool]
    own, across = statistics(inside, queries, neighbour, pairs)
    drawn = np.array([statistics(random.permutation(inside), queries, neighbour, pairs) for _ in range(PERMUTATIONS)])
    return Kinship(
        split=split,
        own=own,
        own_by_chance=spread(drawn[:, 0]),
        p_value=float((1 + (drawn[:, 0] >= own).sum()) / (1 + PERMUTATIONS)),
        near_across=int(across),
        near_inside=len(pairs) - int(across),
        near_across_by_chance=spread(drawn[:, 1]),
    )


def nearest(thumbnails: Thumbnails, pool: NDArray[np.int64], queries: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each query, a position in the pool, the position of the most alike other image."""
    best = np.full(len(queries), -np.inf)
    found = np.zeros(len(queries), dtype=np.int64)
    vectors = thumbnails.residuals(pool[queries])
    for start in range(0, len(pool), 4096):
        alike = vectors @ thumbnails.residuals(pool[start : start + 4096]).T
        itself = (queries >= start) & (queries < start + alike.shape[1])
        alike[itself, queries[itself] - start] = -np.inf
        top = alike.argmax(axis=1)
        value = alike[np.arange(len(queries)), top]
        better = value > best
        best[better], found[better] = value[better], top[better] + start
    return found


def statistics(
    inside: NDArray[np.bool_], queries: NDArray[np.int64], neighbour: NDArray[np.int64], pairs: NDArray[np.int64]
) -> tuple[float, float]:
    """Part of neighbours inside of the inside queries, and number of pairs that cross."""
    asked = inside[queries]
    own = inside[neighbour[asked]].mean() if asked.any() else 0.0
    return float(own), float((inside[pairs[:, 0]] != inside[pairs[:, 1]]).sum())


def spread(values: NDArray[np.float64]) -> tuple[float, float, float]:
    low, high = np.percentile(values, [2.5, 97.5])
    return float(values.mean()), float(low), float(high)
