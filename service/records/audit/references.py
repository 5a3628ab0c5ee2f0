"""The style-shift scores that those of a period are compared with."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from models.card import StyleReference
from models.package import PackageError, digest, read_card
from service.inference.execution import Execution, create_session
from service.inference.package_checks import check_file
from service.inference.repository import packages
from service.records.audit.stability import Scores

STAND_IN = 200
"""Images that the first periods of a model need together to stand in for its validation images."""


@dataclass(frozen=True)
class Source:
    """What a model's scores are compared with."""

    kind: Literal["validation", "first records"]
    """``validation``: the images in the package's card. ``first records``: no package with the digest is at hand."""
    images: int
    periods: tuple[str, ...] = ()
    """The periods that stand in; none for validation images."""


@dataclass(frozen=True)
class Reference:
    """Scores to compare with, and the card's thresholds, if the card is at hand."""

    source: Source
    scores: Scores
    style: StyleReference | None = None


def style_references(repository: Path, digests: Collection[str]) -> dict[str, StyleReference]:
    """Read the style references of the packages in a model repository that have one of these digests.

    Raises:
        PackageError: if a file can't be read, or is a package that this version can't use.
    """
    found = {}
    for path in packages(repository):
        try:
            content = path.read_bytes()
        except OSError as error:
            raise PackageError(f"{path} can't be read: {error}") from error
        if (own := digest(content)) in digests:
            check_file(path, content)
            style = read_card(create_session(content, Execution("cpu", threads=1))).style
            if style is not None:
                found[own] = style
    return found


def from_card(style: StyleReference) -> Reference:
    """Rebuild the scores of the validation images from their quantiles.

    Quantiles between two scores were interpolated, and so are scores between two quantiles. With 101 quantiles a
    rebuilt score is at most one rank and a hundredth of the images away from its true place.
    """
    ranks = np.linspace(0, 1, style.validation_images)
    quantiles = np.linspace(0, 1, len(style.validation_quantiles))
    scores = np.interp(ranks, quantiles, style.validation_quantiles)
    return Reference(Source("validation", style.validation_images), scores, style)


def from_first(periods: Mapping[str, Scores]) -> Reference | None:
    """Take the first periods that have enough scores together. None if all of them have not."""
    taken: list[str] = []
    count = 0
    for period in sorted(periods):
        taken.append(period)
        count += len(periods[period])
        if count >= STAND_IN:
            scores = np.concatenate([periods[name] for name in taken])
            return Reference(Source("first records", count, tuple(taken)), scores)
    return None
