"""Messages with binary data, and reading them for a tiny model."""

import json
from types import SimpleNamespace
from typing import Any, cast

from models.card import OUTPUTS, Card, InputSpec
from service.protocol.requests import Inference, read_request

CARD = cast(Card, SimpleNamespace(input=InputSpec(height=2, width=3, channels=1), labels=["a", "b"], outputs=OUTPUTS))
LIMIT = 4


def read(body: bytes, header: str | None) -> Inference:
    return read_request(body, header, CARD, LIMIT)


def message(content: dict[str, Any], tail: bytes = b"") -> tuple[bytes, str]:
    text = json.dumps(content).encode()
    return text + tail, str(len(text))
