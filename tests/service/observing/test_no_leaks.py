"""No text that a client sent reaches logs, metrics, traces or records, whether its request was accepted or refused.

A real process gets a marker in every field of every kind of request, and its outputs are searched for it.
"""

import base64
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image, PngImagePlugin, TiffImagePlugin
from pydicom import dcmwrite

pytest.importorskip("opentelemetry.sdk")

from tests.models.preprocessing.identified import MARKER, marked
from tests.service.observing.collecting import collecting, spans
from tests.service.process import connect, running

KEY = "bootstrap-key-of-the-test"
FORGED = f"\n2026-01-01 INFO service.forged: {MARKER}"
OWN = {"Authorization": f"Bearer {KEY}"}
PREDICT, INFER = "/v1/models/colour/predict", "/v2/models/colour/infer"
PIXELS = np.zeros((32, 32, 3), np.uint8)
Call = tuple[str, str, dict[str, Any]]
"""Method, path, and what ``httpx`` sends."""


def dicom_files() -> Iterator[bytes]:
    for elements in (
        {},
        {"PatientName": MARKER},  # without ^, of which a library warns
        {"SOPInstanceUID": f"1.2.3{FORGED}"},
        {"StudyInstanceUID": f"1.2.3.{MARKER}", "SeriesInstanceUID": f"1.2.3.{MARKER}"},
        {"PatientBirthDate": MARKER, "NumberOfFrames": 1},
        {"SpecificCharacterSet": MARKER, "PhotometricInterpretation": MARKER},
    ):
        image = marked(PIXELS)
        image.StudyDate, image.StudyTime, image.PatientBirthDate = "", "", ""
        for keyword, value in elements.items():
            setattr(image, keyword, value)
        stream = io.BytesIO()
        image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID
        image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
        dcmwrite(stream, image, enforce_file_format=True)
        yield stream.getvalue()
        yield stream.getvalue()[:-2000]


def pictures() -> Iterator[bytes]:
    picture, stream = Image.fromarray(PIXELS), io.BytesIO()
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", MARKER)
    picture.save(stream, "PNG", pnginfo=text)
    yield stream.getvalue()
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[270] = tags[305] = MARKER
    stream = io.BytesIO()
    picture.save(stream, "TIFF", tiffinfo=tags, compression="tiff_lzw")
    yield stream.getvalue()
    yield damaged_tiff()
    yield stream.getvalue()[:300]
    yield f"{MARKER}{FORGED}".encode()
    yield b"BM" + MARKER.encode() * 20


def damaged_tiff() -> bytes:
    """A file whose compressed data libtiff complains of on standard error."""
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)).save(
        stream, "TIFF", compression="tiff_lzw"
    )
    data = bytearray(stream.getvalue())
    data[60:2000] = b"\xff\xa5" * 970
    return bytes(data)


def uploads() -> Iterator[Call]:
    for data in (*dicom_files(), *pictures()):
        yield "POST", PREDICT, {"content": data}
        yield "POST", PREDICT, {"content": data, "params": {"format": "dicom-sr"}}
        yield "POST", "/v1/models/colour/preview", {"content": data}
    good = next(pictures())
    for field in ("file", MARKER):
        for kind in ("image/png", f"image/{MARKER}"):
            yield "POST", PREDICT, {"files": [(field, (f"{MARKER}^Johanna.png", good, kind))]}
    yield "POST", PREDICT, {"files": [("file", (f"{MARKER}.png", b"no image"))], "data": {MARKER: MARKER}}
    for kind in (f"multipart/form-data; boundary={MARKER}", f"multipart/{MARKER}", f"image/{MARKER}"):
        yield "POST", PREDICT, {"content": MARKER, "headers": {"Content-Type": kind}}


def headers() -> Iterator[Call]:
    good = next(pictures())
    for name in (
        "Accept",
        "Accept-Encoding",
        "Accept-Language",
        "Baggage",
        "Content-Encoding",
        "Cookie",
        "Forwarded",
        "Host",
        "If-None-Match",
        "Inference-Header-Content-Length",
        "Origin",
        "Referer",
        "Traceparent",
        "Tracestate",
        "User-Agent",
        "X-Envoy-Expected-Rq-Timeout-Ms",
        "X-Forwarded-For",
        "X-Forwarded-Host",
        "X-HTTP-Method-Override",
        "X-Request-ID",
        f"X-{MARKER}",
    ):
        for path in (PREDICT, INFER):
            sent = {name: f"a={MARKER}"}
            if name == "Tracestate":
                sent |= {"Traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
            yield "POST", path, {"content": good, "headers": {"Inference-Header-Content-Length": "0"} | sent}
    yield "POST", PREDICT, {"content": good, "headers": {"X-Forwarded-For": MARKER, "X-Forwarded-Proto": MARKER}}
    for credentials in (f"Bearer {MARKER}", f"Basic {MARKER}", MARKER, f"Bearer a.{MARKER}.c"):
        yield "GET", "/v1/models", {"headers": {"Authorization": credentials}}


def addresses() -> Iterator[Call]:
    name = f"{MARKER}^Johanna%0A%1B[31m"
    for path in (
        f"/v1/models/{name}/predict",
        f"/v1/models/colour/versions/{name}/predict",
        f"/v1/models/{name}/preview",
        f"/v1/models/{name}",
        f"/v1/predictions/{name}",
        f"/v1/predictions/{name}/feedback",
        f"/v2/models/{name}/infer",
        f"/v2/models/colour/versions/{name}/infer",
        f"/v2/models/{name}",
        f"/v2/models/{name}/ready",
        f"/v2/models/{name}/stats",
        f"/v2/repository/models/{name}/load",
        f"/v2/repository/models/{name}/unload",
        f"/static/{name}",
        f"/docs-static/{name}",
        f"/{name}",
        f"/v2/{name}",
    ):
        for method in ("GET", "POST", "OPTIONS"):
            yield method, path, {}
    for query in (
        f"{MARKER}=1",
        f"weights={MARKER}",
        f"frame={MARKER}",
        f"format={MARKER}",
        f"activation_map={MARKER}",
    ):
        for path in (PREDICT, "/v1/models/colour/preview", "/v1/models", "/v1/predictions", "/metrics", INFER):
            yield "POST" if "colour" in path else "GET", f"{path}?{query}", {"content": next(pictures())}
    for name in ("model", "version", "label", "from", "to", "cursor", "feedback", "format", "limit"):
        yield "GET", "/v1/predictions", {"params": {name: MARKER}}


def messages() -> Iterator[Call]:
    file = {"name": "image_bytes", "shape": [1, 1], "datatype": "BYTES"}
    good = file | {"data": [base64.b64encode(next(pictures())).decode()]}
    for inputs, rest in (
        ([good], {"id": MARKER, "parameters": {MARKER: MARKER}}),
        ([good | {"parameters": {MARKER: MARKER}}], {}),
        ([good], {"outputs": [{"name": MARKER}]}),
        ([good], {"outputs": [{"name": "probabilities", "parameters": {MARKER: MARKER}}]}),
        ([good], {"parameters": {"timeout": MARKER}}),
        ([good], {MARKER: MARKER}),
        ([good | {"name": MARKER}], {}),
        ([good | {"datatype": MARKER}], {}),
        ([good | {"shape": [MARKER]}], {}),
        ([file | {"data": [MARKER]}], {}),
        (MARKER, {}),
    ):
        yield "POST", INFER, {"json": {"inputs": inputs, **rest}}
    yield "POST", INFER, {"content": MARKER}
    yield "POST", "/v2/repository/index", {"json": {MARKER: MARKER}}
    yield "POST", "/v2/repository/models/colour/load", {"json": {"parameters": {MARKER: MARKER}}}
    for body in ({"labels": [MARKER]}, {"labels": ["normal"], MARKER: MARKER}):
        yield "POST", "/v1/predictions/RECORD/feedback", {"json": body}


HEADS = (
    f"{MARKER} / HTTP/1.1\r\n\r\n",
    f"GET /{MARKER} HTTP/{MARKER}\r\n\r\n",
    f"GET / HTTP/1.1\r\n{MARKER}\r\n\r\n",
    f"GET /{MARKER} HTTP/1.1\r\nHost: {MARKER}\r\nUpgrade: {MARKER}\r\nConnection: upgrade\r\n\r\n",
    f"GET /{MARKER * 9000} HTTP/1.1\r\n\r\n",
)


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_marker_in_every_field_is_nowhere(repository: Path, tmp_path: Path, log_format: str) -> None:
    database = tmp_path / "records.db"
    with collecting() as (endpoint, received):
        environment = {
            "RETINA_LOG_FORMAT": log_format,
            "RETINA_LOG_LEVEL": "debug",
            "RETINA_AUTH": "required",
            "RETINA_ADMIN_KEY": KEY,
            "RETINA_TRUSTED_PROXIES": "127.0.0.1",
            "RETINA_RECORDS": "required",
            "RETINA_RECORDS_URL": f"sqlite:///{database}",
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
            "OTEL_BSP_SCHEDULE_DELAY": "100",
        }
        with running(repository, **environment) as (process, address, log):
            statuses = send_all(address)
            metrics = httpx.get(f"{address}/metrics", headers=OWN).text
            log.wait_for("native library")
            process.terminate()  # the last spans are sent
            assert process.wait(20) == 0
            text = str(log)
    assert {200, 401, 404, 405, 415, 422} <= statuses
    assert 500 not in statuses
    for expected in ("highdicom", "native library", "UserWarning at ", "(unmatched)", "/v1/models/{model}/predict"):
        assert expected in text, expected
    for line in text.splitlines():
        if log_format == "json":
            json.loads(line)
        else:
            assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} [A-Z]+ [\w.]+: ", line), line
        assert MARKER not in line
        assert "forged" not in line
    assert MARKER not in metrics
    assert len(spans(received)) > 100
    assert MARKER.encode() not in b"".join(message.SerializeToString() for message in received)
    kept = b"".join(path.read_bytes() for path in tmp_path.glob("records.db*"))
    assert b"sha256:" in kept
    assert MARKER.encode() not in kept


def send_all(address: str) -> set[int]:
    """Send every request with the key and without. Return the status codes of the answers."""
    statuses = set()
    with httpx.Client(base_url=address, timeout=30) as client:
        answer = client.post(PREDICT, content=next(pictures()), headers=OWN).json()
        record = answer["predictions"][0]["record_id"]
        for method, path, sent in (*uploads(), *headers(), *addresses(), *messages()):
            given = sent.pop("headers", {})
            for own in (OWN, {}):
                response = client.request(method, path.replace("RECORD", record), headers=own | given, **sent)
                statuses.add(response.status_code)
    for head in HEADS:
        with connect(address) as connection:
            connection.sendall(head.encode())
            connection.recv(4096)
    return statuses
