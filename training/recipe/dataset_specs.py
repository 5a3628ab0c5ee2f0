"""Which data sets there are, and what a recipe may choose of one that has choices of its own."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.section import Text

DatasetName = Literal[
    "folder",
    "retinamnist",
    "octmnist",
    "pathmnist",
    "chestmnist",
    "dermamnist",
    "pneumoniamnist",
    "breastmnist",
    "bloodmnist",
    "tissuemnist",
    "organamnist",
    "organcmnist",
    "organsmnist",
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


class ColumnSpec(DataSection):
    """The names of a table's columns. Those that are not named are found by their usual names, in any case."""

    file: Text | None = None
    """The path of the image; a relative one counts from the folder."""
    label: Text | Annotated[list[Text], Field(min_length=2)] | None = None
    """One column with the class; or several columns of 0 and 1, one for each label, for a multi-label task."""
    delimiter: Annotated[str, Field(min_length=1)] | None = None
    """Divides the labels in one column, such as ``|`` in ``drusen|haemorrhage``, for a multi-label task."""
    patient: Text | None = None
    eye: Text | None = None
    split: Text | None = None
    weight: Text | None = None
    """How often an image is seen in training, compared with one of weight 1."""
    subgroups: list[Text] = []
    """Other columns to keep with the run, such as sex, age and camera, for figures by subgroup."""

    @model_validator(mode="after")
    def one_way_to_write_labels(self) -> Self:
        if self.delimiter and isinstance(self.label, list):
            raise ValueError("several label columns need no delimiter: leave one of the two out")
        return self


class FolderSpec(DataSection):
    """Of ``folder`` and of every data set whose release has no split, or no validation split, of its own."""

    manifest: Path | None = None
    """A CSV anywhere with a row for each image; default: ``manifest.csv`` in the folder, if it is there."""
    columns: ColumnSpec = ColumnSpec()
    subfolders: Literal["patient", "class", "ignore"] = "patient"
    """What folders below a class folder are, where there is no table: patients, parts of the name of the class, or
    nothing."""
    labels: Annotated[list[Text], Field(min_length=2)] | None = None
    """The classes in their order, for grades from the lowest to the highest; default: by number where all are numbers,
    otherwise by the alphabet. Columns of labels give their own order."""
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
