"""Metadata of the server and of a model, and the model configuration of Triton."""

from typing import Any

from models.package import FILE_NAME
from models.package import INPUT as IMAGE
from service import __version__
from service.inference.runtime import Model
from service.protocol.messages import ModelMetadata, ServerMetadata, TensorMetadata
from service.protocol.tensors import IMAGE_BYTES

PLATFORM = "onnxruntime_onnx"
ANY = -1
SERVER = ServerMetadata(
    name="retina-srm",
    version=__version__,
    extensions=[
        "binary_tensor_data",
        "classification",
        "model_configuration",
        "model_repository",
        "parameters",
        "statistics",
    ],
)


def tensors(model: Model) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
    """Return the shape of each input and output, without the axis of the images."""
    spec, shapes = model.card.input, {o.name: o.shape for o in model.session.get_outputs()}
    inputs = {IMAGE: [spec.height, spec.width, spec.channels], IMAGE_BYTES: [1]}
    return inputs, {name: [n if isinstance(n, int) else ANY for n in shapes[name][1:]] for name in model.card.outputs}


def model_metadata(model: Model, versions: list[str]) -> ModelMetadata:
    """Describe a model for its clients."""
    inputs, outputs = tensors(model)
    types = {IMAGE: "UINT8", IMAGE_BYTES: "BYTES"}
    return ModelMetadata(
        name=model.name,
        versions=versions,
        platform=PLATFORM,
        inputs=[TensorMetadata(name=n, datatype=types[n], shape=[ANY, *dims]) for n, dims in inputs.items()],
        outputs=[TensorMetadata(name=n, datatype="FP32", shape=[ANY, *dims]) for n, dims in outputs.items()],
    )


def model_config(model: Model, *, served_versions: int, max_images: int) -> dict[str, Any]:
    """Write the configuration of a model in the JSON form of Triton's ``ModelConfig``.

    Only this service has ``image_bytes``. Triton reads the graph in the same folder and finds only ``image``.
    """
    inputs, outputs = tensors(model)
    types = {IMAGE: "TYPE_UINT8", IMAGE_BYTES: "TYPE_STRING"}
    return {
        "name": model.name,
        "platform": PLATFORM,
        "backend": "onnxruntime",
        "version_policy": {"latest": {"num_versions": served_versions}} if served_versions else {"all": {}},
        "max_batch_size": max_images,
        "input": [
            {"name": n, "data_type": types[n], "format": "FORMAT_NONE", "dims": dims, "optional": True}
            for n, dims in inputs.items()
        ],
        "output": [{"name": n, "data_type": "TYPE_FP32", "dims": dims} for n, dims in outputs.items()],
        "default_model_filename": FILE_NAME,
        "dynamic_batching": {},
    }
