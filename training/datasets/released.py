"""The folder of a released data set, and the error if it is missing."""

from pathlib import Path

from training.errors import TrainingError

SUFFIXES = {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp"}
DICOM_SUFFIXES = {".dcm", ".dicom"}


def release_folder(path: Path | None, default: str, title: str, access: str, layout: str) -> Path:
    """The data set's folder: the recipe's, or ``data/<default>``.

    Raises:
        TrainingError: if it is missing. The text says where to get the data and which layout is expected.
    """
    folder = path or Path("data") / default
    if not folder.is_dir():
        raise TrainingError(
            f"{folder} is not a folder: {title} is never downloaded by command. {access} Then name it with "
            f"--set data=FOLDER; expected layout: {layout}"
        )
    return folder


def images_in(folder: Path) -> list[Path]:
    """The image files directly in a folder, sorted by name. Empty if there is no such folder."""
    if not folder.is_dir():
        return []
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES and visible(file, folder))


def visible(path: Path, root: Path) -> bool:
    """Whether a path is neither hidden (``.git``, AppleDouble's ``._x.jpg``) nor left by archives (``__MACOSX``)."""
    return not any(part.startswith((".", "__")) for part in path.relative_to(root).parts)
