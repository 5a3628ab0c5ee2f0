"""The model that the tests' records are about, and the type of the fixture that makes them."""

from collections.abc import Callable

from service.records.record import ModelFacts, Record
from tests.conftest import LABELS

FACTS = ModelFacts("colour", "2", "sha256:" + "c" * 64, "multi-class", tuple(LABELS))
RecordMaker = Callable[..., Record]
