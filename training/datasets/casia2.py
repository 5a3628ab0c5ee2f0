"""CASIA2 NC: severity of nuclear cataract in anterior-segment OCT images, from one folder for each grade."""

from pathlib import Path

from training.datasets.base import DataSet
from training.datasets.folder import read_folder
from training.datasets.released import release_folder
from training.errors import TrainingError
from training.recipe import FolderSpec, Provenance

ACCESS = "It is private to its authors: ask them."
LAYOUT = (
    "FOLDER/<grade>/<image>.jpg with the grades named in their order by folder.labels, and FOLDER/manifest.csv "
    "(file, patient) if the patients are known"
)


def read_casia2(path: Path | None, spec: FolderSpec, provenance: Provenance) -> DataSet:
    """Read a folder for each grade, in the order that ``folder.labels`` states, since grades are ordered."""
    folder = release_folder(path, "casia2", "CASIA2 NC", ACCESS, LAYOUT)
    if spec.labels is None:
        raise TrainingError(
            "the grades of CASIA2 NC are ordered: name its folders from the lowest to the highest, for example "
            "--set folder.labels='[normal, mild, severe]'"
        )
    return read_folder(folder, spec, provenance)
