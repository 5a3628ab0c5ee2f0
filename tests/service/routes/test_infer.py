"""The infer route against ONNX Runtime run by hand, in every form of its tensors."""

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from numpy.typing import NDArray

from models.preprocessing import preprocess
from tests.conftest import LABELS, ImageMaker
from tests.service.routes.infer_messages import HEADER, INFER, binary, check, tensor, values


@pytest.mark.parametrize("version", ["", "/versions/1", "/versions/2"])
@pytest.mark.parametrize("form", ["json", "nested", "binary", "binary both ways"])
def test_pixels_give_what_the_package_gives(
    client: TestClient, repository: Path, pixels: NDArray[np.uint8], version: str, form: str
) -> None:
    address = f"/v2/models/colour{version}/infer"
    package = repository / "colour" / (version[-1:] or "2") / "model.onnx"
    if form.startswith("binary"):
        body, headers = binary(pixels, parameters={"binary_data_output": form == "binary both ways"})
        response = client.post(address, content=body, headers=headers)
    else:
        data = pixels.tolist() if form == "nested" else pixels.ravel().tolist()
        response = client.post(address, json={"id": "exam 17", "inputs": [tensor(pixels, data=data)]})
        assert response.json()["id"] == "exam 17"
        assert response.headers["Content-Type"] == "application/json"
    assert (HEADER in response.headers) == (form == "binary both ways")
    check(response, package, pixels)


@pytest.mark.parametrize("form", ["json", "binary", "raw"])
def test_files_give_what_their_pixels_give(
    client: TestClient, repository: Path, make_image: ImageMaker, form: str
) -> None:
    files = [make_image("PNG", seed=seed) for seed in range(1 if form == "raw" else 2)]
    inputs: dict[str, Any] = {"name": "image_bytes", "shape": [len(files), 1], "datatype": "BYTES"}
    if form == "json":
        inputs["data"] = [base64.b64encode(file).decode() for file in files]
        response = client.post(INFER, json={"inputs": [inputs]})
    elif form == "binary":
        tail = b"".join(len(file).to_bytes(4, "little") + file for file in files)
        text = json.dumps({"inputs": [inputs | {"parameters": {"binary_data_size": len(tail)}}]}).encode()
        response = client.post(INFER, content=text + tail, headers={HEADER: str(len(text))})
    else:
        response = client.post(INFER, content=files[0], headers={HEADER: "0"})
    spec = client.app.state.service.repository.get("colour").card.input  # type: ignore[attr-defined]
    check(
        response,
        repository / "colour" / "2" / "model.onnx",
        np.stack([preprocess(file, spec).pixels for file in files]),
    )


def test_files_and_predict_agree(client: TestClient, make_image: ImageMaker) -> None:
    ours = client.post("/v1/models/colour/predict", content=make_image()).json()["predictions"][0]
    theirs = values(client.post(INFER, content=make_image(), headers={HEADER: "0"}))
    np.testing.assert_allclose([p["probability"] for p in ours["probabilities"]], theirs["probabilities"][0], atol=1e-6)


def test_mixed_outputs_follow_in_their_order(client: TestClient, pixels: NDArray[np.uint8]) -> None:
    outputs: list[dict[str, Any]] = [
        {"name": "class_activation", "parameters": {"binary_data": True}},
        {"name": "probabilities"},
        {"name": "recalibration_weights", "parameters": {"binary_data": True}},
    ]
    body, headers = binary(pixels, outputs=outputs)
    mixed = values(client.post(INFER, content=body, headers=headers))
    assert list(mixed) == [output["name"] for output in outputs]
    body, headers = binary(pixels)
    for name, expected in values(client.post(INFER, content=body, headers=headers)).items():
        np.testing.assert_allclose(mixed[name], expected, atol=1e-6)


@pytest.mark.parametrize("count", [1, 2, 99])
def test_classification_names_the_best_classes(client: TestClient, pixels: NDArray[np.uint8], count: int) -> None:
    body, headers = binary(pixels)
    probabilities = values(client.post(INFER, content=body, headers=headers))["probabilities"]
    asked = [{"name": "probabilities", "parameters": {"classification": count}}]
    body, headers = binary(pixels, outputs=asked)
    [output] = client.post(INFER, content=body, headers=headers).json()["outputs"]
    kept = min(count, len(LABELS))
    assert (output["datatype"], output["shape"]) == ("BYTES", [3, kept])
    lines = np.array(output["data"]).reshape(3, kept)
    for row, line in zip(probabilities, lines, strict=True):
        best = sorted(range(len(row)), key=lambda index: -row[index])[:kept]
        assert [text.split(":")[1:] for text in line] == [[str(index), LABELS[index]] for index in best]
        np.testing.assert_allclose([float(text.split(":")[0]) for text in line], row[best], atol=1e-5)


def test_an_image_is_the_same_alone_and_in_company(client: TestClient, pixels: NDArray[np.uint8]) -> None:
    def ask(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        body, headers = binary(images)
        return values(client.post(INFER, content=body, headers=headers))["probabilities"]

    alone = [ask(pixels[index : index + 1])[0] for index in range(3)]
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda index: (index % 3, ask(pixels[index % 3 : index % 3 + 1])[0]), range(30)))
    for index, answer in answers:
        np.testing.assert_allclose(answer, alone[index], atol=1e-5)


def test_openapi_describes_the_protocol(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    for version in ("", "/versions/{version}"):
        for part in ("", "/ready", "/config", "/stats"):
            assert "get" in paths[f"/v2/models/{{model}}{version}{part}"]
        operation = paths[f"/v2/models/{{model}}{version}/infer"]["post"]
        assert set(operation["responses"]) >= {"200", "400", "404", "408", "413", "415", "503"}
        assert set(operation["requestBody"]["content"]) == {"application/json", "application/octet-stream"}
    assert "post" in paths["/v2/repository/index"]
