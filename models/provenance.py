"""Where a model's data and initial weights came from. No torch here."""

from typing import Annotated

from pydantic import Field, StringConstraints

from models.architecture import Start
from models.section import Section, Text


class TrainingData(Section):
    """What the model was trained on."""

    name: Text
    licence: Text
    source: Text
    md5: Text
    """Of the file, or of the sorted list of files and their MD5 sums; of ImageNet's, of their names and sizes."""
    split_rule: Text
    counts: dict[str, dict[str, int]]
    """Split to label to number of images."""


class InitialWeights(Section):
    """The trained weights that training began from."""

    file: Text
    """Its name, without the folder."""
    sha256: Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
    source: Text
    licence: Text
    values: int = Field(ge=1)
    """How many of the network's parameters and statistics they gave."""
    start: Start
    changes: list[Text]
    """What was done to fit them to the network, a sentence each."""
