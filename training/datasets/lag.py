"""LAG: fundus photographs with and without signs of glaucoma, many with maps of where ophthalmologists looked.

Li, Xu, Wang, Jiang, Liu: "Attention Based Glaucoma Detection: A Large-scale Database and CNN Model", CVPR 2019,
https://arxiv.org/abs/1903.10831. Given on request, for academic use only, and not to be passed on.
"""

from pathlib import Path

from training.datasets.base import DataSet, Item
from training.datasets.released import images_in, release_folder
from training.datasets.splits import at_random, tree_md5
from training.errors import TrainingError
from training.recipe import FolderSpec

SOURCE = "https://github.com/smilell/AG-CNN"
ACCESS = f"Its authors give it on request, for academic use only: {SOURCE}."
LAYOUT = (
    "FOLDER/{non_glaucoma,suspicious_glaucoma}/image/*.jpg, with attention_map/*.jpg beside image/ where there are "
    "maps; or the same under FOLDER/LAG_database_part_1/"
)
CLASSES = {"non_glaucoma": "no glaucoma", "suspicious_glaucoma": "suspicious glaucoma"}


def read_lag(path: Path | None, spec: FolderSpec) -> DataSet:
    """Read LAG in either layout. If an image has an attention map, it is in its item."""
    folder = release_folder(path, "lag", "LAG", ACCESS, LAYOUT)
    part = folder / "LAG_database_part_1"
    root = part if part.is_dir() else folder
    items = []
    for label, name in enumerate(CLASSES):
        images = images_in(root / name / "image")
        if not images:
            raise TrainingError(f"{root / name / 'image'} holds no images; expected layout: {LAYOUT}")
        maps = {file.stem: file for file in images_in(root / name / "attention_map")}
        for image in images:
            id_ = image.relative_to(root).as_posix()
            items.append(Item(image, label, id_, id_, maps.get(image.stem)))
    return DataSet(
        labels=list(CLASSES.values()),
        splits=at_random(items, spec),
        name="LAG",
        licence="academic use only, not to be passed on",
        source=SOURCE,
        md5=tree_md5(root, [item.id for item in items]),
        split_rule="random by image (patients are not published: images of one patient may be in two splits), "
        f"stratified by class, seed {spec.split_seed}",
        random_split=True,
    )
