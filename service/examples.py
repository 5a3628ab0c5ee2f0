"""The example in the API's documentation: a real answer of the shipped model, its long lists shortened."""

from service import NOTICE

ANSWER: dict[str, object] = {
    "id": "5f2d9c1e7a614b6f8f3f0b7f6a2f4c11",
    "model": {"name": "retinamnist", "version": "1", "digest": "sha256:0000"},
    "notice": NOTICE,
    "predictions": [],
}
