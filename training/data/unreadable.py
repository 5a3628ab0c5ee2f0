"""Images that can't be decoded. All of them are named at once, and the run stops or continues without them."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Literal

from pydantic import BaseModel, ConfigDict

from training.datasets import DataSet
from training.errors import TrainingError

NAMED = 20
"""Limit of files that an error names. The rest are counted."""

OnCorrupt = Literal["fail", "skip"]


class Unreadable(BaseModel):
    """An image that was left out, and why."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    reason: str


def listing(unreadable: Sequence[Unreadable]) -> str:
    """One line an image, the first :data:`NAMED` of them."""
    lines = [f"  {image.id}: {image.reason}" for image in unreadable[:NAMED]]
    if len(unreadable) > NAMED:
        lines.append(f"  and {len(unreadable) - NAMED} more")
    return "\n".join(lines)


def refuse(unreadable: Sequence[Unreadable]) -> None:
    """Raise if there is any.

    Raises:
        TrainingError: that names the images.
    """
    if unreadable:
        raise TrainingError(
            f"{len(unreadable)} image(s) can't be read: repair or remove them, or leave them out with "
            f"--set on_corrupt=skip\n{listing(unreadable)}"
        )


def settle(data: DataSet, unreadable: Sequence[Unreadable], on_corrupt: OnCorrupt) -> DataSet:
    """Return the data set for training: complete, or without the unreadable images, which are printed.

    Raises:
        TrainingError: with ``fail``, if there are unreadable images; with ``skip``, if a split loses a class.
    """
    if on_corrupt == "fail":
        refuse(unreadable)
    if unreadable:
        print(f"Skipped {len(unreadable)} image(s) that can't be read:\n{listing(unreadable)}")
    return without(data, (image.id for image in unreadable))


def without(data: DataSet, ids: Iterable[str]) -> DataSet:
    """The data set without the images of these ids."""
    left_out = set(ids)
    if not left_out:
        return data
    splits = {split: [item for item in items if item.id not in left_out] for split, items in data.splits.items()}
    return replace(data, splits=splits)
