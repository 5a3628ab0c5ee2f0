"""Valid files of every format and kind, and deterministic damage to them."""

import random
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, get_frame

from tests.models.preprocessing.dicom_files import Array, bundled, dataset, dicom, written
from tests.models.preprocessing.image_files import encode, noise, orientation
from tests.models.preprocessing.repairs.test_repairs import big_tiff
from tests.models.preprocessing.repairs.test_tiff import EXTRA, PHOTOMETRIC, PLANES, ROWS, page, tiff_file


def pillow_files() -> dict[str, bytes]:
    """A file of each format and of its usual variants."""
    colour, grey = noise(14, 20, 3), noise(14, 20)
    deep, palette = Image.fromarray(grey.astype(np.uint16) * 257), Image.fromarray(colour).convert("P")
    turned, second = orientation(6), [Image.fromarray(noise(14, 20, 3, seed=9))]
    return {
        "jpeg": encode(colour, "JPEG", exif=turned),
        "jpeg-progressive": encode(colour, "JPEG", progressive=True),
        "jpeg-grey": encode(grey, "JPEG"),
        "jpeg-cmyk": encode(Image.fromarray(colour).convert("CMYK"), "JPEG"),
        "mpo": encode(colour, "MPO", save_all=True, append_images=second),
        "png": encode(colour, "PNG", exif=turned),
        "png-16": encode(deep, "PNG"),
        "png-palette": encode(palette, "PNG", transparency=bytes(range(256))),
        "png-animated": encode(colour, "PNG", save_all=True, append_images=second),
        "tiff": encode(colour, "TIFF", exif=turned),
        "tiff-16": encode(deep, "TIFF"),
        "tiff-lzw": encode(colour, "TIFF", compression="tiff_lzw"),
        "tiff-jpeg": encode(colour, "TIFF", compression="jpeg"),
        "tiff-group4": encode(Image.fromarray(grey > 127), "TIFF", compression="group4"),
        "tiff-ycbcr": encode(Image.fromarray(colour).convert("YCbCr"), "TIFF"),
        "bmp": encode(colour, "BMP"),
        "bmp-palette": encode(palette, "BMP"),
        "webp": encode(colour, "WEBP"),
        "webp-lossless": encode(noise(14, 20, 4), "WEBP", lossless=True),
        "webp-animated": encode(colour, "WEBP", save_all=True, append_images=second),
    }


def dicom_files() -> dict[str, bytes]:
    """A file of each photometric interpretation and each transfer syntax, where an encoder is at hand."""
    colour, grey = noise(40, 48, 3), noise(40, 48)
    deep = grey.astype(np.uint16) * 16
    table = bytes(range(256))
    palette: dict[str, Any] = {f"{name}PaletteColorLookupTableData": table for name in ("Red", "Green", "Blue")}
    palette |= {f"{name}PaletteColorLookupTableDescriptor": [256, 0, 8] for name in ("Red", "Green", "Blue")}
    jpeg = dataset(colour, PhotometricInterpretation="YBR_FULL_422")
    jpeg.PixelData = encapsulate([encode(colour, "JPEG")])
    return {
        "dicom": dicom(colour),
        "dicom-implicit": dicom(grey, uid.ImplicitVRLittleEndian),
        "dicom-big-endian": dicom(deep.astype(">u2"), uid.ExplicitVRBigEndian, bits=12),
        "dicom-window": dicom(deep, bits=12, WindowCenter=2000, WindowWidth=900, RescaleSlope=2, RescaleIntercept=-9),
        "dicom-signed": dicom(deep.view(np.int16), PhotometricInterpretation="MONOCHROME1", PixelPaddingValue=-1),
        "dicom-palette": dicom(grey, PhotometricInterpretation="PALETTE COLOR", **palette),
        "dicom-frames": dicom(np.stack([grey] * 3), frames=3),
        "dicom-rle": dicom(colour, uid.RLELossless),
        "dicom-rle-frames": dicom(np.stack([deep] * 3), uid.RLELossless, frames=3),
        "dicom-jpeg": written(jpeg, uid.JPEGBaseline8Bit),
        "dicom-jpeg-lossless": bundled("SC_rgb_jpeg_gdcm.dcm"),
        "dicom-jpeg-ls": dicom(grey, uid.JPEGLSLossless),
        "dicom-jpeg-ls-16": dicom(deep, uid.JPEGLSLossless),
        "dicom-jpeg-2000": dicom(colour, uid.JPEG2000Lossless, PhotometricInterpretation="YBR_RCT"),
        "dicom-jpeg-2000-16": dicom(deep, uid.JPEG2000Lossless),
        "dicom-no-preamble": dicom(grey, uid.ImplicitVRLittleEndian)[132:],
    }


def misread_files() -> dict[str, tuple[bytes, Array]]:
    """Files of kinds that readers get wrong or refuse, each with the levels (0 to 255) that it shows, by arithmetic."""
    grey, colour = noise(14, 20), noise(14, 20, 3)
    few, plain = np.arange(280, dtype=np.uint16).reshape(14, 20) % 101, grey.astype(float)
    spread = few / 100 * 255
    bits12 = noise(14, 20).astype(np.uint16) * 16
    jpeg_ls = dataset(grey)
    jpeg_ls.compress(uid.JPEGLSLossless, generate_instance_uid=False)
    stream = get_frame(jpeg_ls.PixelData, 0, number_of_frames=1).rstrip(b"\0")
    jpeg_ls.PixelData = encapsulate([stream[:-2] + b"\0" + stream[-2:]])
    colours, deep = noise(256, 3), np.random.default_rng(1).integers(0, 65536, (14, 20, 2)).astype("<u2")
    shown = deep[..., 0] / 257 * (deep[..., 1] / 65535)
    inverted = (65535 - deep[..., 0].astype(float)) / 257 * (deep[..., 1] / 65535)
    alpha = page(deep) | {ROWS: [14], EXTRA: [2], PHOTOMETRIC: [1]}
    planes = [deep[..., index].tobytes() for index in (0, 1)]
    table = page(grey) | {PHOTOMETRIC: [3], 320: colours.T.ravel().tolist()}
    plain_png = encode(colour, "PNG")
    head, body = plain_png[:33], plain_png[33:]
    bad_text = struct.pack(">I", 5) + b"tEXta\0bcd" + bytes(4)
    profile = b"iCCPicc\0\1"
    bad_profile = struct.pack(">I", 5) + profile + struct.pack(">I", zlib.crc32(profile))
    empty = Dataset()
    empty.add_new("LUTDescriptor", "US", None)
    empty.add_new("LUTData", "US", None)
    files: dict[str, tuple[bytes, Array]] = {
        "dicom-few-values": (dicom(few), spread),
        "dicom-few-values-inverted": (dicom(few, PhotometricInterpretation="MONOCHROME1"), 255 - spread),
        "dicom-few-values-signed": (dicom(few.astype(np.int16) - 50), spread),
        "dicom-falling": (dicom(few, RescaleSlope=-3, RescaleIntercept=9), 255 - spread),
        "dicom-width-0": (dicom(grey, WindowCenter=0, WindowWidth=0), plain),
        "dicom-width-0-then-one": (
            dicom(bits12, bits=12, WindowCenter=[0, 2048], WindowWidth=[0, 4096]),
            bits12 / 4095 * 255,
        ),
        "dicom-empty-table": (dicom(grey, ModalityLUTSequence=[empty]), plain),
        "dicom-jpeg-ls-zero": (written(jpeg_ls, uid.JPEGLSLossless), plain),
        "tiff-palette-of-8-bits": (tiff_file([grey.tobytes()], table), colours[grey].astype(float)),
        "tiff-grey-alpha": (tiff_file([deep.tobytes()], alpha), shown),
        "tiff-white-is-zero-alpha": (tiff_file([deep.tobytes()], alpha | {PHOTOMETRIC: [0]}), inverted),
        "tiff-grey-alpha-planes": (tiff_file(planes, alpha | {PLANES: [2]}), shown),
        "tiff-big-endian-bigtiff": (big_tiff([colour]), colour.astype(float)),
        "png-bad-text": (head + bad_text + body, colour.astype(float)),
        "png-bad-profile": (head + bad_profile + body, colour.astype(float)),
    }
    turns = {1: colour, 2: colour[:, ::-1], 3: colour[::-1, ::-1], 4: colour[::-1]}
    across = colour.transpose(1, 0, 2)
    turns |= {5: across, 6: across[:, ::-1], 7: across[::-1, ::-1], 8: across[::-1]}
    for value, upright in turns.items():
        files[f"png-turned-{value}"] = encode(colour, "PNG", exif=orientation(value)), upright.astype(float)
    return files


VALID = pillow_files() | dicom_files()


def mutant(name: str, seed: int) -> bytes:
    """One of the valid files, damaged; the same name and seed give the same bytes on every machine."""
    chance = random.Random(f"{name} {seed}")
    data = bytearray(VALID[name])
    reach = min(len(data), chance.choice([120, 800, len(data)]))  # headers break more than pixels do

    def place() -> int:
        return chance.randrange(reach)

    for _ in range(chance.randint(1, 4)):
        start = place()
        match chance.randrange(8):
            case 0 | 1 | 2:
                data[start] = chance.choice([0, 1, 127, 128, 255, chance.randrange(256)])
            case 3:
                data[start] ^= 1 << chance.randrange(8)
            case 4:  # a length, a size, an offset
                value = chance.choice([0, 1, 2**15, 2**16 - 1, 2**31 - 1, 2**32 - 1])
                data[start : start + 4] = value.to_bytes(4, chance.choice(["little", "big"]))
            case 5:
                data[start:start] = chance.randbytes(chance.randint(1, 20))
            case 6:
                del data[start : start + chance.randint(1, 20)]
            case 7:
                source = place()
                data[start:start] = data[source : source + chance.randint(1, 64)]
        reach = max(min(reach, len(data)), 1)
        if not data:
            break
    if chance.random() < 0.1:
        del data[chance.randrange(len(data) + 1) :]
    return bytes(data)


APART = ("dicom-jpeg-ls", "dicom-jpeg-ls-16")
"""Decoded in a process of its own, and some damage to them only ends with it: see test_contained.py."""
STALLING = VALID["dicom-jpeg-ls"][:958]
"""Cut short, so that CharLS, as of pyjpegls 1.5.1, works for ten seconds and more on half a kilobyte."""
