"""Records of predictions over gRPC: the same as of HTTP, and with ``required`` no answer before the commit."""

import sqlite3
from pathlib import Path
from uuid import UUID

import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from service.records.record import input_digest
from tests.conftest import ImageMaker
from tests.service.rpc.calling import files, image, pixels, serving, status
from tests.service.security.credentials import add_key
from tests.waiting import until


def test_a_record_of_each_image(repository: Path, make_image: ImageMaker, tmp_path: Path) -> None:
    sent, keys, database = [make_image(seed=1), make_image(seed=2)], tmp_path / "keys.json", tmp_path / "records.db"
    key = {"authorization": f"Bearer {add_key(keys, 'clinic', 'predict')}"}
    environment = {
        "RETINA_RECORDS": "required",
        "RETINA_RECORDS_URL": f"sqlite:///{database}",
        "RETINA_RECORDS_TIMEOUT_S": "0.5",
        "RETINA_KEYS_FILE": str(keys),
    }
    with serving(repository, **environment) as site, triton.InferenceServerClient(site.grpc) as client:
        found = client.infer("colour", [files(*sent)], headers=key)
        ids = found.get_response().parameters["record_ids"].string_param.split(",")
        with sqlite3.connect(database) as other:
            rows = other.execute("SELECT id, input_digest, caller FROM predictions").fetchall()
        assert {UUID(str(row[0])): row[1:] for row in rows} == {
            UUID(text): (input_digest(one), "clinic") for text, one in zip(ids, sent, strict=True)
        }

        with sqlite3.connect(database, isolation_level=None) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(InferenceServerException, match="no answer leaves without its record") as caught:
                client.infer("colour", [image(pixels(1))], headers=key)
            other.execute("ROLLBACK")
        assert status(caught.value) == "UNAVAILABLE"
        client.infer("colour", [image(pixels(1))], headers=key)
        until(lambda: count(database) == 3, 5)  # a record of the refused answer is taken back


def count(database: Path) -> int:
    with sqlite3.connect(database) as other:
        return int(other.execute("SELECT count(*) FROM predictions").fetchone()[0])
