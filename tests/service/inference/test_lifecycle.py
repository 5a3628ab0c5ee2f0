"""Reload, refusal, version policy and unload, one look at the folder at a time."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

from models.package import PackageError
from service.inference.execution import Execution
from service.inference.repository import load_package
from service.inference.runtime import Model
from tests.conftest import ImageMaker
from tests.service.inference.changing import KEY, PREDICT, answered_by, index, look, serving, variant, versions
from tests.service.packages import Edit, copy_model, custom_operator, edited, not_finite, put, without_card


def test_a_new_version_is_taken_in_and_becomes_the_default(folder: Path, make_image: ImageMaker) -> None:
    with serving(folder) as client:
        before = answered_by(client, make_image())
        put(folder / "colour", "2", variant(folder, 5))
        look(client, 1)
        assert versions(client) == ["1"]
        look(client, 1)
        assert versions(client) == ["1", "2"]
        assert answered_by(client, make_image()) != before
        first = client.post("/v1/models/colour/versions/1/predict", content=make_image()).json()
        assert first["model"]["digest"] == before
        assert index(client)["colour", "2"] == ("READY", "")
        assert 'retina_model_loads_total{model="colour",outcome="loaded"} 2.0' in client.get("/metrics").text


def test_a_new_model_is_taken_in(folder: Path, repository: Path, make_image: ImageMaker) -> None:
    (folder / "grey").rename(folder.parent / f"{folder.name}-grey")
    with serving(folder) as client:
        assert client.post("/v1/models/grey/predict", content=make_image()).status_code == 404
        copy_model(repository, "grey", "1", folder)
        look(client)
        assert client.post("/v1/models/grey/predict", content=make_image()).status_code == 200


def test_a_half_copied_file_is_not_picked_up(folder: Path) -> None:
    content = variant(folder, 5)
    target = folder / "colour" / "2" / "model.onnx"
    target.parent.mkdir()
    with serving(folder) as client:
        for part in range(1, 5):
            target.write_bytes(content[: len(content) * part // 5])
            look(client, 1)
            assert versions(client) == ["1"]
        assert 'outcome="refused"' not in client.get("/metrics").text
        target.write_bytes(content)
        look(client)
        assert versions(client) == ["1", "2"]


def test_a_package_that_changes_while_it_is_read_is_refused_and_read_again(
    folder: Path, make_image: ImageMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = variant(folder, 5), variant(folder, 9)
    changes = [new]

    def read_slowly(path: Path, execution: Execution) -> Model:
        model = load_package(path, execution)
        if changes:
            path.write_bytes(changes.pop())
        return model

    with serving(folder) as client:
        monkeypatch.setattr("service.inference.lifecycle.load_package", read_slowly)
        put(folder / "colour", "2", old)
        look(client)
        assert not changes
        assert versions(client) == ["1"]
        assert "changed while it was read" in index(client)["colour", "2"][1]
        look(client)
        assert versions(client) == ["1", "2"]
        assert answered_by(client, make_image()) == f"sha256:{hashlib.sha256(new).hexdigest()}"
        assert index(client)["colour", "2"] == ("READY", "")


def test_a_version_is_served_while_it_is_written_over(folder: Path, make_image: ImageMaker) -> None:
    package, new = put(folder / "colour", "2", variant(folder, 5)), variant(folder, 9)
    with serving(folder) as client:
        look(client)
        before = answered_by(client, make_image())
        for part in range(1, 5):
            package.write_bytes(new[: len(new) * part // 5])
            look(client, 1)
            assert versions(client) == ["1", "2"]
            assert answered_by(client, make_image()) == before
        assert 'outcome="refused"' not in client.get("/metrics").text
        assert 'outcome="unloaded"' not in client.get("/metrics").text
        package.write_bytes(new)
        look(client)
        assert answered_by(client, make_image()) == f"sha256:{hashlib.sha256(new).hexdigest()}"


def truncated(folder: Path) -> bytes:
    return variant(folder, 5)[:-1000]


def of(edit: Edit) -> Any:
    return lambda folder: edited(folder / "colour" / "1" / "model.onnx", edit)


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (truncated, "not a whole ONNX file"),
        (of(custom_operator), "com.example::Relu"),
        (of(not_finite), "not finite"),
        (of(without_card), "no model card"),
    ],
    ids=["truncated", "custom operator", "not finite", "no card"],
)
@pytest.mark.parametrize("by", ["poll", "load"])
def test_a_broken_version_is_refused_and_the_old_one_goes_on(
    folder: Path, make_image: ImageMaker, caplog: pytest.LogCaptureFixture, broken: Any, words: str, by: str
) -> None:
    with serving(folder) as client:
        before = answered_by(client, make_image())
        put(folder / "colour", "2", broken(folder))
        if by == "poll":
            look(client, 4)
        else:
            response = client.post("/v2/repository/models/colour/load", headers=KEY)
            assert response.status_code == 400
            assert words in response.json()["error"]
        assert answered_by(client, make_image()) == before
        status, reason = index(client)["colour", "2"]
        assert status == "UNAVAILABLE"
        assert words in reason
        assert 'retina_model_loads_total{model="colour",outcome="refused"} 1.0' in client.get("/metrics").text
        refusals = [r.getMessage() for r in caplog.records if r.levelname == "ERROR"]
        assert len(refusals) == 1
        assert "refused colour version 2" in refusals[0]
        assert words in refusals[0]
        ready = client.post("/v2/repository/index", headers=KEY, json={"ready": True}).json()
        assert [(entry["name"], entry["version"]) for entry in ready] == [("colour", "1"), ("grey", "1")]


def test_a_wrong_digest_is_refused_until_it_is_mended(folder: Path) -> None:
    with serving(folder) as client:
        package = put(folder / "colour", "2", variant(folder, 5))
        package.with_name("model.onnx.sha256").write_text("0" * 64)
        look(client)
        assert "beside it says" in index(client)["colour", "2"][1]
        package.with_name("model.onnx.sha256").unlink()
        look(client)
        assert versions(client) == ["1", "2"]
        assert index(client)["colour", "2"] == ("READY", "")


def test_a_version_written_anew_is_replaced_and_broken_content_is_not(folder: Path, make_image: ImageMaker) -> None:
    package = folder / "colour" / "1" / "model.onnx"
    new, broken = variant(folder, 5), truncated(folder)
    with serving(folder) as client:
        before = answered_by(client, make_image())
        package.write_bytes(new)
        look(client)
        after = answered_by(client, make_image())
        assert after != before
        series = [line for line in client.get("/metrics").text.splitlines() if line.startswith("retina_model_info{")]
        assert sum('model="colour"' in line for line in series) == 1
        package.write_bytes(broken)
        look(client)
        assert answered_by(client, make_image()) == after
        status, reason = index(client)["colour", "1"]
        assert (status, "earlier content is still served" in reason) == ("READY", True)
        package.write_bytes(new)
        look(client)
        assert index(client)["colour", "1"] == ("READY", "")


def test_a_deleted_version_goes_but_never_the_whole_model(folder: Path, make_image: ImageMaker) -> None:
    put(folder / "colour", "2", variant(folder, 5))
    with serving(folder) as client:
        (folder / "colour" / "2").rename(folder.parent / f"{folder.name}-2")
        look(client)
        assert versions(client) == ["1"]
        folder.rename(folder.parent / f"{folder.name}-away")
        look(client)
        assert client.post(PREDICT, content=make_image()).status_code == 200
        assert client.post("/v1/models/grey/predict", content=make_image()).status_code == 200


def test_only_the_newest_versions_are_served(folder: Path) -> None:
    put(folder / "colour", "2", variant(folder, 2))
    put(folder / "colour", "3", variant(folder, 3)[:-1000])
    with serving(folder, served_versions=1) as client:
        assert versions(client) == ["2"]
        put(folder / "colour", "10", variant(folder, 10))
        look(client)
        assert versions(client) == ["10"]
        assert 'version="2"' not in client.get("/metrics").text
        states = index(client)
        assert states["colour", "10"][0] == "READY"
        assert states["colour", "2"] == ("UNAVAILABLE", "older than the versions to serve, or not scanned yet")


def test_at_start_a_broken_version_is_passed_over_but_not_a_broken_model(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(folder / "colour", "2", truncated(folder))
    with serving(folder) as client:
        assert versions(client) == ["1"]
    assert "refused colour version 2" in caplog.text
    (folder / "grey" / "1" / "model.onnx").write_bytes(b"garbage")
    with pytest.raises(PackageError, match=r"grey/1/model\.onnx"), serving(folder):
        pass
