"""Corruptions at five severities by MedMNIST-C's published definitions, for OCT B-scans and fundus photographs.

Di Salvo, Doerrich, Ledig: "MedMNIST-C: Comprehensive benchmark and improved classifier robustness by simulating
realistic image corruptions", 2024, https://arxiv.org/abs/2406.17536. The severities are those of its code, registry.py.
They are defined for 224 pixels. Blur and motion are in pixels, so they are stronger on smaller pictures.
"""

import io
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance
from scipy.ndimage import convolve, gaussian_filter

Corruption = Callable[[Image.Image, int, np.random.Generator], Image.Image]
"""From a picture, a severity of 1 to 5 and a source of randomness to the corrupted picture."""


def pixelate(*factors: float) -> Corruption:
    def apply(image: Image.Image, severity: int, _: np.random.Generator) -> Image.Image:
        small = [max(int(side * factors[severity - 1]), 1) for side in image.size]
        return image.resize((small[0], small[1]), Image.Resampling.BOX).resize(image.size, Image.Resampling.BOX)

    return apply


def jpeg(*qualities: int) -> Corruption:
    def apply(image: Image.Image, severity: int, _: np.random.Generator) -> Image.Image:
        stream = io.BytesIO()
        image.save(stream, "JPEG", quality=qualities[severity - 1])
        return Image.open(stream).convert(image.mode)

    return apply


def gaussian_noise(*deviations: float) -> Corruption:
    def apply(image: Image.Image, severity: int, random: np.random.Generator) -> Image.Image:
        values = unit(image)
        return picture(values + random.normal(scale=deviations[severity - 1], size=values.shape))

    return apply


def speckle_noise(*deviations: float) -> Corruption:
    def apply(image: Image.Image, severity: int, random: np.random.Generator) -> Image.Image:
        values = unit(image)
        return picture(values * (1 + random.normal(scale=deviations[severity - 1], size=values.shape)))

    return apply


def defocus_blur(*kernels: tuple[float, float]) -> Corruption:
    """A disk of the first value as radius in pixels, smoothed by a Gaussian of the second as deviation."""

    def apply(image: Image.Image, severity: int, _: np.random.Generator) -> Image.Image:
        radius, smoothing = kernels[severity - 1]
        reach, around = (8, 1) if radius <= 8 else (int(radius), 2)
        across, down = np.meshgrid(np.arange(-reach, reach + 1), np.arange(-reach, reach + 1))
        disk = (across**2 + down**2 <= radius**2).astype(float)
        return filtered(image, gaussian_filter(disk / disk.sum(), smoothing, radius=around, mode="mirror"))

    return apply


def motion_blur(*kernels: tuple[int, float]) -> Corruption:
    """One-sided Gaussian along a direction of -45 to 45 degrees, as ImageMagick's; radius and deviation in pixels."""

    def apply(image: Image.Image, severity: int, random: np.random.Generator) -> Image.Image:
        radius, deviation = kernels[severity - 1]
        angle = np.deg2rad(random.uniform(-45, 45))
        steps = np.arange(2 * radius + 1)
        weights = np.exp(-(steps**2) / (2 * deviation**2))
        kernel = np.zeros((4 * radius + 1, 4 * radius + 1))
        rows = np.ceil(steps * np.sin(angle) - 0.5).astype(int) + 2 * radius
        columns = np.ceil(steps * np.cos(angle) - 0.5).astype(int) + 2 * radius
        np.add.at(kernel, (rows, columns), weights / weights.sum())
        return filtered(image, kernel)

    return apply


def brightness(*factors: float) -> Corruption:
    return lambda image, severity, _: ImageEnhance.Brightness(image).enhance(factors[severity - 1])


def contrast(*factors: float) -> Corruption:
    return lambda image, severity, _: ImageEnhance.Contrast(image).enhance(factors[severity - 1])


OCT: Mapping[str, Corruption] = {
    "pixelate": pixelate(0.30, 0.25, 0.20, 0.15, 0.10),
    "JPEG compression": jpeg(30, 15, 10, 7, 5),
    "speckle noise": speckle_noise(0.15, 0.30, 0.40, 0.50, 0.60),
    "defocus blur": defocus_blur((0.5, 0.6), (1, 0.5), (1.5, 0.1), (2.0, 0.5), (2.5, 0.1)),
    "motion blur": motion_blur((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
    "contrast down": contrast(0.6, 0.4, 0.3, 0.2, 0.15),
}
FUNDUS: Mapping[str, Corruption] = {
    "pixelate": pixelate(0.8, 0.60, 0.50, 0.40, 0.35),
    "JPEG compression": jpeg(30, 25, 20, 10, 5),
    "Gaussian noise": gaussian_noise(0.04, 0.08, 0.12, 0.16, 0.20),
    "speckle noise": speckle_noise(0.10, 0.15, 0.20, 0.25, 0.30),
    "defocus blur": defocus_blur((4, 0.1), (5, 0.2), (6, 0.3), (7, 0.4), (8, 0.5)),
    "motion blur": motion_blur((8, 5), (15, 5), (15, 8), (15, 12), (20, 15)),
    "brightness down": brightness(0.9, 0.8, 0.7, 0.6, 0.5),
    "contrast down": contrast(0.9, 0.8, 0.7, 0.6, 0.4),
}


def unit(image: Image.Image) -> NDArray[np.float64]:
    """The pixels in 0 to 1."""
    return np.asarray(image, dtype=np.float64) / 255


def picture(values: NDArray[np.float64]) -> Image.Image:
    return Image.fromarray((np.clip(values, 0, 1) * 255).astype(np.uint8))


def filtered(image: Image.Image, kernel: NDArray[np.float64]) -> Image.Image:
    """Every channel convolved; beyond the edge the image is mirrored."""
    values = unit(image)
    weights = kernel if values.ndim == 2 else kernel[:, :, None]
    return picture(convolve(values, weights, mode="mirror"))
