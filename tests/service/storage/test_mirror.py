"""The local copy of a bucket: whole packages, checked before they appear."""

import logging
import os
import time
from pathlib import Path

import pytest

from service.inference.execution import Execution
from service.inference.repository import packages
from service.offline import choose
from service.settings import Settings
from service.storage import mirror as module
from service.storage.mirror import Mirror
from service.storage.store import Item, Store, StoreError
from tests.service.storage.conftest import Bucket, Gate

Log = pytest.LogCaptureFixture


def content(mirror: Mirror, version: str = "1", name: str = "colour") -> bytes:
    return (mirror.folder / name / version / "model.onnx").read_bytes()


def held(mirror: Mirror) -> list[str]:
    return [path.parent.relative_to(mirror.folder).as_posix() for path in packages(mirror.folder)]


def counted(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The objects that are copied from now on."""
    copied: list[str] = []
    fetch = Store.fetch

    def count(store: Store, item: Item, target: Path, end: float) -> None:
        copied.append(store.name(item))
        fetch(store, item, target, end)

    monkeypatch.setattr(Store, "fetch", count)
    return copied


def test_packages_are_copied_and_other_objects_are_not(mirror: Mirror, bucket: Bucket) -> None:
    bucket.publish("1", b"one")
    bucket.publish("2", b"two", name="grey")
    for path in ("colour/3/model.onnx.sha256", "colour/01/model.onnx", "colour/1/notes.txt", "../2/model.onnx", "x"):
        bucket.put(path, b"other")
    bucket.put("tuning.json", b"{}")
    assert mirror.update() == []
    assert held(mirror) == ["colour/1", "grey/2"]
    assert (content(mirror), content(mirror, "2", "grey")) == (b"one", b"two")
    files = {path.relative_to(mirror.folder).as_posix() for path in mirror.folder.rglob("*") if path.is_file()}
    assert {name for name in files if not name.startswith(".")} == {
        *(f"{place}/{name}" for place in ("colour/1", "grey/2") for name in ("model.onnx", "model.onnx.sha256")),
        "tuning.json",
    }


def test_only_what_changed_is_copied_again(mirror: Mirror, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket.publish("1", b"one")
    bucket.publish("2", b"two")
    mirror.update()
    copied = counted(mirror, monkeypatch)
    assert Mirror(Store(bucket.address), mirror.folder).update() == []  # another process knows what was copied
    assert copied == []
    bucket.publish("2", b"owt")  # of the same size
    mirror.update()
    assert sorted(copied) == ["colour/2/model.onnx", "colour/2/model.onnx.sha256"]
    assert content(mirror, "2") == b"owt"


def test_a_copy_that_was_changed_here_is_copied_again(mirror: Mirror, bucket: Bucket) -> None:
    bucket.publish("1", b"one")
    mirror.update()
    copy = mirror.folder / "colour" / "1" / "model.onnx"
    copy.write_bytes(b"eno")
    mirror.update()
    assert content(mirror) == b"one"
    status = copy.stat()
    copy.write_bytes(b"on")  # cut off, with the time of the copy
    os.utime(copy, ns=(status.st_atime_ns, status.st_mtime_ns))
    mirror.update()
    assert content(mirror) == b"one"


def test_what_is_deleted_in_the_store_is_deleted_here(mirror: Mirror, bucket: Bucket) -> None:
    for version in ("1", "2"):
        bucket.publish(version, b"one")
    bucket.put("tuning.json", b"{}")
    mirror.update()
    for path in ("tuning.json", "colour/1/model.onnx", "colour/1/model.onnx.sha256", "colour/2/model.onnx.sha256"):
        bucket.delete(path)
    mirror.update()
    assert [path.name for path in sorted(mirror.folder.rglob("[!.]*"))] == ["colour", "2", "model.onnx"]


def test_an_empty_store_deletes_nothing(mirror: Mirror, bucket: Bucket, caplog: Log) -> None:
    bucket.publish("1", b"one")
    mirror.update()
    bucket.delete("colour/1/model.onnx")
    mirror.update()
    assert held(mirror) == ["colour/1"]
    assert f"{bucket.address} holds no model package" in caplog.text


def test_a_broken_upload_is_not_copied_until_it_is_repaired(
    mirror: Mirror, bucket: Bucket, caplog: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.publish("1", b"one")
    mirror.update()
    copied = counted(mirror, monkeypatch)
    bucket.put("colour/1/model.onnx", b"on")
    reasons = [mirror.update() for _ in range(3)]
    assert copied == ["colour/1/model.onnx"]  # once
    assert caplog.text.count("not copied: ") == 1
    assert all("upload both again" in reason for [reason] in reasons)
    assert content(mirror) == b"one"
    assert mirror.update("colour") == reasons[0]  # a request tries again
    assert len(copied) == 2
    bucket.publish("1", b"two")
    assert mirror.update() == []
    assert content(mirror) == b"two"
    bucket.publish("1", b"one")
    bucket.put("colour/1/model.onnx", b"on")
    assert mirror.update() == reasons[0]
    assert caplog.text.count("not copied: ") == 2, "the same broken upload once more is another event"


def test_at_each_moment_a_package_fits_the_digest_beside_it(
    mirror: Mirror, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    import hashlib

    bucket.publish("1", b"one")
    mirror.update()
    place = mirror.folder / "colour" / "1"
    seen: list[tuple[bytes, bool]] = []
    rename = Path.rename

    def look() -> None:
        found, beside = (place / "model.onnx").read_bytes(), place / "model.onnx.sha256"
        if beside.exists():
            assert beside.read_text().split()[0] == hashlib.sha256(found).hexdigest()
        seen.append((found, beside.exists()))

    def watched(path: Path, target: Path) -> Path:
        look()
        done = rename(path, target)
        look()
        return done

    monkeypatch.setattr(Path, "rename", watched)
    bucket.publish("1", b"two")
    mirror.update()
    assert seen == [(b"one", False), (b"two", False), (b"two", False), (b"two", True)]


def test_an_object_that_changes_while_it_is_copied_waits(
    mirror: Mirror, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.publish("1", b"one")
    mirror.update()
    bucket.put("colour/1/model.onnx", b"two")
    bucket.delete("colour/1/model.onnx.sha256")
    ask = Store.ask

    def during(store: Store, what: str, end: float, *args: str, **options: object) -> object:
        answer = ask(store, what, end, *args, **options)
        if what == "get_file":
            bucket.put("colour/1/model.onnx", b"six")
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(Store, "ask", during)
        [reason] = mirror.update()
    assert "colour/1/model.onnx changed while it was copied" in reason
    assert content(mirror) == b"one"
    assert mirror.update() == []
    assert content(mirror) == b"six"


def test_a_request_for_one_model_copies_only_that(mirror: Mirror, bucket: Bucket) -> None:
    bucket.publish("1", b"one")
    bucket.publish("1", b"one", name="grey")
    mirror.update()
    bucket.publish("2", b"two")
    bucket.publish("2", b"two", name="grey")
    bucket.delete("grey/1/model.onnx")
    bucket.put("tuning.json", b"{}")
    mirror.update("colour")
    assert held(mirror) == ["colour/1", "colour/2", "grey/1"]
    assert not (mirror.folder / "tuning.json").exists()


def test_a_store_that_fails_changes_nothing_and_is_logged_once(
    mirror: Mirror, bucket: Bucket, gate: Gate, tmp_path: Path, caplog: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    bucket.publish("1", b"one")
    mirror = Mirror(Store(bucket.address), tmp_path / "behind")
    mirror.begin()
    bucket.publish("1", b"two")
    monkeypatch.setattr(module, "LISTING_S", 0.5)
    gate.state = "held"
    reasons = [mirror.update() for _ in range(2)]
    assert reasons == [[f"{bucket.address} can't be read: it does not answer in time"]] * 2
    assert caplog.text.count("no new models are copied: ") == 1
    assert content(mirror) == b"one"
    mirror.begin()  # the earlier copy will do
    assert f"the earlier copy of {bucket.address}" in caplog.text
    with pytest.raises(StoreError, match="does not answer"):
        Mirror(Store(bucket.address), tmp_path / "none").begin()
    monkeypatch.setattr(module, "LISTING_S", 20.0)
    gate.state = "open"
    assert mirror.update() == []
    assert "can be read again" in caplog.text
    assert content(mirror) == b"two"
    assert "the-secret" not in caplog.text
    caplog.clear()
    monkeypatch.setattr(module, "LISTING_S", 0.5)
    gate.state = "held"
    assert mirror.update() == reasons[0]
    assert caplog.text.count("no new models are copied: ") == 1, "it is told again after it was well"
    gate.state = "open"


def test_no_store_is_asked_when_the_time_is_over() -> None:
    with pytest.raises(StoreError, match="does not answer in time"):
        Store("memory://models").items(time.monotonic() - 1)


@pytest.mark.parametrize(("name", "reason"), [("nobody", "no such bucket"), ("denied", "access is refused")])
def test_the_reason_is_in_our_words(
    name: str, reason: str, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store("s3://nobody-has-this/models")
    if name == "denied":

        async def refuse(*_: object, **__: object) -> None:
            raise PermissionError("the-secret")

        monkeypatch.setattr(store.files, "_find", refuse)
    with pytest.raises(StoreError, match=reason) as raised:
        Mirror(store, tmp_path).begin()
    assert "the-secret" not in str(raised.value)


def test_a_folder_that_cannot_be_written_is_named(bucket: Bucket, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"can't be written \(Not a directory\): set RETINA_MODEL_CACHE"):
        Mirror(Store(bucket.address), tmp_path / "file" / "copy").begin()


def test_what_a_killed_process_left_is_no_package(mirror: Mirror, bucket: Bucket) -> None:
    mirror.folder.joinpath(".incoming").mkdir(parents=True)
    mirror.folder.joinpath(".incoming", "model.onnx").write_bytes(b"half")
    mirror.folder.joinpath(".copied.json").write_text("{")
    bucket.publish("1", b"one")
    assert mirror.update() == []
    assert (held(mirror), content(mirror)) == (["colour/1"], b"one")


def test_two_processes_do_not_copy_at_once(mirror: Mirror, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket.publish("1", b"one")
    mirror.update()
    monkeypatch.setattr(module, "LISTING_S", 0.3)
    with mirror.alone(0):
        [reason] = Mirror(mirror.store, mirror.folder).update()
    assert "another process has been copying" in reason
    assert mirror.update() == []


def test_a_command_without_a_server_copies_the_model_that_it_asks_for(
    bucket: Bucket, contents: list[bytes], tmp_path: Path
) -> None:
    bucket.publish("1", contents[0])
    settings = Settings.model_validate({"model_repository": bucket.address, "model_cache": tmp_path})
    assert choose(settings, Execution("cpu", threads=1), "colour", None).version == "1"
