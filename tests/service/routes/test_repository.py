"""The repository's calls: for the admin, for models that are there, and without files or configurations."""

from pathlib import Path

import pytest

from tests.service.inference.changing import KEY, serving


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("models/nothing/load", 404, "it holds: colour, grey"),
        ("models/nothing/unload", 404, "colour, grey"),
        ("models/..%2f..%2fetc/load", 404, ""),
        ("models/%2e%2e/load", 404, ""),
    ],
)
def test_calls_for_models_that_are_not_there(folder: Path, path: str, status: int, words: str) -> None:
    with serving(folder) as client:
        response = client.post(f"/v2/repository/{path}", headers=KEY)
        assert response.status_code == status
        assert words in response.json()["error"]


def test_load_takes_no_files_or_configurations(folder: Path) -> None:
    with serving(folder) as client:
        body = {"parameters": {"config": "{}"}}
        response = client.post("/v2/repository/models/colour/load", headers=KEY, json=body)
        assert (response.status_code, "config" in response.json()["error"]) == (400, True)


@pytest.mark.parametrize(
    ("key", "headers", "status", "words"),
    [
        (None, KEY, 403, "RETINA_ADMIN_KEY"),
        ("", {"Authorization": "Bearer "}, 403, "RETINA_ADMIN_KEY"),
        ("the-key", {}, 401, "missing or wrong"),
        ("the-key", {"Authorization": "Bearer the-kez"}, 401, "missing or wrong"),
        ("the-key", {"Authorization": "Bearer"}, 401, "missing or wrong"),
        ("the-key", {"Authorization": "Basic the-key"}, 401, "missing or wrong"),
    ],
)
def test_the_repository_is_for_the_admin(
    folder: Path, key: str | None, headers: dict[str, str], status: int, words: str
) -> None:
    with serving(folder, admin_key=key) as client:
        for call in ("index", "models/colour/load", "models/colour/unload"):
            response = client.post(f"/v2/repository/{call}", headers=headers)
            assert response.status_code == status
            assert words in response.json()["error"]
        assert client.get("/v2/models/colour/ready").status_code == 200
