"""A model package, opened and run by ONNX Runtime alone."""

from pathlib import Path
from typing import Any

import onnxruntime
from numpy.typing import NDArray

from models.card import Card
from models.package import OUTPUTS, read_card

Array = NDArray[Any]


def open_package(path: Path) -> tuple[onnxruntime.InferenceSession, Card]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session, read_card(session)


def answers(path: Path, images: Array) -> dict[str, Array]:
    session, _ = open_package(path)
    return dict(zip(OUTPUTS, session.run(list(OUTPUTS), {"image": images}), strict=True))
