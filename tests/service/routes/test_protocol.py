"""The addresses that describe: readiness, and the configuration in the form of Triton."""

from pathlib import Path

import onnx
from fastapi.testclient import TestClient

from tests.service.inference.changing import serving


def test_not_ready_while_it_stops(client: TestClient) -> None:
    assert client.get("/v2/models/colour/ready").json() == {"name": "colour", "ready": True}
    client.app.state.service.ready = False  # type: ignore[attr-defined]
    response = client.get("/v2/models/colour/ready")
    assert (response.status_code, response.json()) == (503, {"name": "colour", "ready": False})


def test_the_folder_is_what_triton_reads(folder: Path) -> None:
    """Triton's layout and its auto-completion: one file a version, a free first axis, the dims of the configuration."""
    types = {onnx.TensorProto.UINT8: "TYPE_UINT8", onnx.TensorProto.FLOAT: "TYPE_FP32"}
    with serving(folder) as client:
        for name in ("colour", "grey"):
            config = client.get(f"/v2/models/{name}/config").json()
            graph = onnx.load(folder / name / "1" / config["default_model_filename"]).graph
            for kind, tensors in (("input", graph.input), ("output", graph.output)):
                described = {tensor["name"]: (tensor["data_type"], tensor["dims"]) for tensor in config[kind]}
                described.pop("image_bytes", None)
                in_file = {}
                for tensor in tensors:
                    batch, *dims = tensor.type.tensor_type.shape.dim
                    assert batch.dim_param
                    in_file[tensor.name] = (types[tensor.type.tensor_type.elem_type], [d.dim_value for d in dims])
                assert described == in_file
            assert config["max_batch_size"] >= 1
