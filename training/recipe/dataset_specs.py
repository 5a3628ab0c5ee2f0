"""Which data sets there are, and what a recipe may choose of one that has choices of its own."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from models.section import Text

DatasetName = Literal[
    "folder",
    "retinamnist",
    "octmnist",
    "lag",
    "odir",
    "casia2",
    "acrima",
    "cifar10",
    "cifar100",
    "dtd",
    "office-home",
    "imagenet",
    "stylized-imagenet",
]


class DataSection(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FolderSpec(DataSection):
    """Of ``folder`` and of every data set whose release has no split, or no validation split, of its own."""

    manifest: Path | None = None
    """CSV with a column ``file`` and any of ``label``, ``patient``, ``split``; default: ``manifest.csv`` in the
    folder, if it is there."""
    labels: Annotated[list[Text], Field(min_length=2)] | None = None
    """The classes in their order, for grades from the lowest to the highest; default: by the alphabet."""
    validation: float = Field(default=0.15, gt=0, lt=0.5)
    """Part of the images, or where the test split is published, of the published training split."""
    test: float = Field(default=0.15, gt=0, lt=0.5)
    """Part of the images that goes to the test split, where none is published."""
    split_seed: int = 0


class OdirSpec(DataSection):
    labels: Literal["patient", "eye"] = "patient"
    """``patient``: both eyes bear the patient's labels, as the challenge gives them; ``eye``: each eye bears what its
    own diagnostic keywords say."""


class DtdSpec(DataSection):
    split: int = Field(default=1, ge=1, le=10)
    """Which of the ten published splits."""


class OfficeHomeSpec(DataSection):
    test_domain: Literal["Art", "Clipart", "Product", "Real World"] = "Art"
    """The domain that is tested; the other three are trained on."""
