"""What ordinary changes of an image cost a model, as its card says it. No torch here."""

from pydantic import Field

from models.section import Section, Text


class PerturbationResult(Section):
    """One figure on the test images after the same change of each."""

    name: Text
    meaning: Text
    metric: Text
    value: float
    difference: float
    """To the unchanged images; below 0 where the change costs."""
    interval: tuple[float, float] | None
    """95 % bootstrap interval of the difference, of the same resamples of patients; None where it makes no sense."""
    flagged: float = Field(ge=0, le=1)
    """The share of the changed images whose style shift is not usual."""
