"""The application as a whole: its documentation."""

import re

from fastapi.testclient import TestClient


def test_docs_come_from_this_server_alone(client: TestClient) -> None:
    page = client.get("/docs").text
    sources = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert sources
    for source in sources:
        assert source.startswith("/"), source
        assert client.get(source).status_code == 200
