"""Hostile files over HTTP: an answer or a problem document, never a failure of the service."""

import pytest
from fastapi.testclient import TestClient

from tests.models.preprocessing.corpus import APART, VALID, mutant

MUTANTS = 12
"""Of each kind of file: some 400."""


@pytest.mark.filterwarnings("ignore")  # Pillow's, about metadata that it can't read
@pytest.mark.parametrize("name", [name for name in VALID if name not in APART])
def test_no_failures(client: TestClient, name: str) -> None:
    for seed in range(1000, 1000 + MUTANTS):
        query = "?weights=none" + ("&format=dicom-sr" if seed % 3 == 0 else "") + ("&frame=2" if seed % 4 == 0 else "")
        response = client.post(f"/v1/models/colour/predict{query}", content=mutant(name, seed))
        assert response.status_code in (200, 400, 413, 415, 422), (seed, response.text)
    assert client.get("/v2/health/ready").status_code == 200
