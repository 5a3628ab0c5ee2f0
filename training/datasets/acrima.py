"""ACRIMA: fundus photographs cropped around the optic disc, glaucoma or normal.

Diaz-Pinto et al.: "CNNs for automatic glaucoma assessment using fundus images: an extensive validation", BioMedical
Engineering OnLine 2019, https://doi.org/10.1186/s12938-019-0649-y. 705 images as released, 396 of them glaucoma.
"""

from pathlib import Path

from training.datasets.base import DataSet, Item
from training.datasets.released import images_in, release_folder
from training.datasets.splits import at_random, tree_md5
from training.errors import TrainingError
from training.recipe import FolderSpec

SOURCE = "https://doi.org/10.1186/s12938-019-0649-y"
ACCESS = f"Its authors released it with their paper: {SOURCE}."
LAYOUT = (
    "FOLDER/*.jpg (or FOLDER/Database/Images/*.jpg) with `_g_` in the name of each image with glaucoma, "
    "such as Im310_g_ACRIMA.jpg; or FOLDER/{glaucoma,normal}/*.jpg"
)
LABELS = ["normal", "glaucoma"]


def read_acrima(path: Path | None, spec: FolderSpec) -> DataSet:
    """Read ACRIMA as released, in one flat folder, or sorted into a folder for each class."""
    folder = release_folder(path, "acrima", "ACRIMA", ACCESS, LAYOUT)
    labelled = [(image, label) for label, name in enumerate(LABELS) for image in images_in(folder / name)]
    if not labelled:
        flat = next((found for place in ("Database/Images", "Images", ".") if (found := images_in(folder / place))), [])
        labelled = [(image, int("_g_" in image.name)) for image in flat]
    if not labelled:
        raise TrainingError(f"{folder} holds no images; expected layout: {LAYOUT}")
    items = []
    for image, label in labelled:
        id_ = image.relative_to(folder).as_posix()
        items.append(Item(image, label, id_, id_))
    return DataSet(
        labels=LABELS,
        splits=at_random(items, spec),
        name="ACRIMA",
        licence="released with the paper; licence not confirmed",
        source=SOURCE,
        md5=tree_md5(folder, [item.id for item in items]),
        split_rule="random by image (patients are not published: images of one patient may be in two splits), "
        f"stratified by class, seed {spec.split_seed}",
        random_split=True,
    )
