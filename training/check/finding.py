"""The findings of a check, by severity."""

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

EXAMPLES = 20
"""Most examples that a finding keeps."""

Severity = Literal["error", "warning", "info"]


class Finding(BaseModel):
    """One thing worth knowing before training.

    An *error* stops a training run or makes its figures wrong. A *warning* may do so. *info* helps to read the rest.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    severity: Severity
    check: str
    message: str
    examples: list[str] = []

    @classmethod
    def of(cls, severity: Severity, check: str, message: str, examples: Sequence[str] = ()) -> "Finding":
        """A finding with its first examples, and a count of the others."""
        shown = list(examples[:EXAMPLES])
        if len(examples) > EXAMPLES:
            shown.append(f"and {len(examples) - EXAMPLES} more")
        return cls(severity=severity, check=check, message=message, examples=shown)


def count(number: int, noun: str) -> str:
    """``1 image``, ``2 images``."""
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"
