"""How many images there were, and what the model said of them."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Counts:
    """Of one part, or of several together."""

    images: int = 0
    failed: int = 0
    other: int = 0
    """Files of a folder that are not images and are not named like one."""
    labels: Mapping[str, int] = field(default_factory=Counter)
    """Images by their label; those without one are under an empty text."""
    verdicts: Mapping[str, int] = field(default_factory=Counter)
    """Images by what the style shift says of them; empty of a model without a style reference."""

    @property
    def entries(self) -> int:
        return self.images + self.failed + self.other

    def __add__(self, more: "Counts") -> "Counts":
        return Counts(
            self.images + more.images,
            self.failed + more.failed,
            self.other + more.other,
            Counter(self.labels) + Counter(more.labels),
            Counter(self.verdicts) + Counter(more.verdicts),
        )

    def as_json(self) -> dict[str, Any]:
        return {**vars(self), "labels": dict(self.labels), "verdicts": dict(self.verdicts)}
