"""Small files that the page's tests send."""

from collections.abc import Iterable
from pathlib import Path

from PIL import Image, ImageEnhance


def write_scans(source: Path, folder: Path, names: Iterable[str]) -> list[Path]:
    """The picture as small PNG files of these names, each of another brightness."""
    with Image.open(source) as opened:
        small = opened.convert("L").resize((264, 128))
    paths = []
    for i, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        ImageEnhance.Brightness(small).enhance(0.3 + (i * 0.37) % 1.2).save(path)
        paths.append(path)
    return paths
