"""Protocol buffers from and to the form in which the protocol is read and answered over REST too."""

from collections.abc import Sequence
from typing import Any

from models.card import Card
from service.inference.runtime import Model
from service.protocol import invalid
from service.protocol.answering import Result
from service.protocol.messages import InferRequest, RequestInput, checked
from service.protocol.requests import Inference, read_inference
from service.protocol.responses import tensor_of
from service.rpc.proto.grpc_service_pb2 import ModelInferResponse

CONTENTS = {"UINT8": "uint_contents", "BYTES": "bytes_contents"}
FORM = ("binary_data", "binary_data_output", "binary_data_size")
"""Parameters that choose between JSON and binary. They have no meaning here."""


class RawContents:
    """The values of a request in ``raw_input_contents``."""

    binary, values = "the size of raw_input_contents", "contents"

    def __init__(self, parts: Sequence[bytes]) -> None:
        self.parts = list(parts)

    def of(self, tensor: RequestInput) -> memoryview | None:
        """As :meth:`service.protocol.binary.Source.of`."""
        if not self.parts:
            if tensor.data is None:
                raise invalid(f"input {tensor.name}: it has no values: send raw_input_contents or contents.")
            return None
        if tensor.data is not None:
            raise invalid(f"input {tensor.name}: it has both contents and raw_input_contents: send one of them.")
        return memoryview(self.parts.pop(0))

    def finish(self) -> None:
        """As :meth:`service.protocol.binary.Source.finish`."""
        if self.parts:
            raise invalid(f"raw_input_contents: {len(self.parts)} of them belong to no input: send one for each input.")


def read_message(message: Any, card: Card, limit: int) -> Inference:
    """Read a ``ModelInferRequest`` of at most ``limit`` images.

    Raises:
        ProblemError: 400, if it is invalid. The text names the field.
    """
    fields = {
        "id": message.id or None,
        "parameters": parameters(message.parameters),
        "inputs": [
            {
                "name": tensor.name,
                "shape": list(tensor.shape),
                "datatype": tensor.datatype,
                "parameters": parameters(tensor.parameters),
                "data": contents(tensor),
            }
            for tensor in message.inputs
        ],
        "outputs": [{"name": output.name, "parameters": parameters(output.parameters)} for output in message.outputs],
    }
    source = RawContents(message.raw_input_contents)
    return read_inference(checked(InferRequest, fields), source, card, limit)


def parameters(sent: Any) -> dict[str, Any]:
    """Return parameters as JSON has them."""
    chosen = {name: (value, value.WhichOneof("parameter_choice")) for name, value in sent.items() if name not in FORM}
    return {name: getattr(value, kind) for name, (value, kind) in chosen.items() if kind is not None}


def contents(tensor: Any) -> list[int] | list[bytes] | None:
    """Return the typed values of a tensor, or None if it has none.

    Raises:
        ProblemError: 400, if they are in the field of another datatype.
    """
    filled = {field.name: values for field, values in tensor.contents.ListFields()}
    expected = CONTENTS.get(tensor.datatype)
    if not filled or expected is None:  # the datatype is refused later
        return None
    if list(filled) != [expected]:
        raise invalid(
            f"input {tensor.name[:64]}: contents has {', '.join(filled)}: {tensor.datatype} takes {expected} alone."
        )
    return list(filled[expected])


def write_message(model: Model, result: Result) -> bytes:
    """Write a ``ModelInferResponse``."""
    return infer_response(model, result).SerializeToString()  # type: ignore[no-any-return]


def infer_response(model: Model, result: Result) -> Any:
    """Make a ``ModelInferResponse``."""
    response = ModelInferResponse(model_name=model.name, model_version=model.version, id=result.request_id)
    for name, text in result.kept.parameters().items():
        response.parameters[name].string_param = text
    for output in result.inference.outputs:
        tensor = tensor_of(model.card, output, result.rows)
        response.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        response.raw_output_contents.append(bytes(tensor.binary()))
    return response
