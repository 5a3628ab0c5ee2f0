"""The JSON of the protocol: requests, which are checked, and answers, for the documentation."""

from typing import Annotated, Any, Literal, TypeVar

import orjson
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    ValidationError,
    model_validator,
)

from models.wording import described
from service.protocol import invalid


def present(content: Any) -> Any:
    """Leave out parameters that are null: they are absent."""
    return {k: v for k, v in content.items() if v is not None} if isinstance(content, dict) else content


Parameters = Annotated[dict[str, StrictBool | StrictInt | StrictStr | StrictFloat], BeforeValidator(present)]
Axis = Annotated[StrictInt, Field(ge=0, le=2**31)]
SHOWN_FAULTS = 3


class Message(BaseModel):
    """A part of a message. Keys that the protocol does not define are ignored, as in Triton."""

    model_config = ConfigDict(protected_namespaces=(), frozen=True)

    @model_validator(mode="before")
    @classmethod
    def without_nulls(cls, content: Any) -> Any:
        """Read null in an optional field as if the field were absent, as some clients write it."""
        if not isinstance(content, dict):
            return content
        required = {name for name, field in cls.model_fields.items() if field.is_required()}
        return {name: value for name, value in content.items() if value is not None or name in required}


class RequestInput(Message):
    """An input tensor: its values in ``data``, row-major and nested or not, or binary after the JSON."""

    name: StrictStr
    shape: list[Axis] = Field(max_length=8)
    datatype: StrictStr
    parameters: Parameters = {}
    data: Any = None


class RequestOutput(Message):
    """An output that is asked for, with ``binary_data`` or ``classification`` among its parameters."""

    name: StrictStr
    parameters: Parameters = {}


class InferRequest(Message):
    """A request. Two parameters are used: ``binary_data_output`` and ``timeout`` (microseconds)."""

    id: StrictStr | None = None
    parameters: Parameters = {}
    inputs: list[RequestInput] = Field(max_length=16)
    outputs: list[RequestOutput] = Field(default=[], max_length=16)


class ResponseOutput(Message):
    """An output tensor. ``data`` is row-major and flat. It is absent if the values follow the JSON as binary."""

    name: str
    datatype: Literal["FP32", "BYTES"]
    shape: list[int]
    parameters: Parameters | None = None
    data: list[float] | list[str] | None = None


class InferResponse(Message):
    """An answer."""

    model_name: str
    model_version: str
    id: str
    parameters: Parameters | None = None
    outputs: list[ResponseOutput]


class TensorMetadata(Message):
    """An input or output tensor of a model. -1 stands for the number of images."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(Message):
    """The tensors of a model. A request has exactly one of the inputs ``image`` and ``image_bytes``."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class ServerMetadata(Message):
    """What the server is, and which extensions it has."""

    name: str
    version: str
    extensions: list[str]


class ModelReady(Message):
    """Whether a model accepts requests."""

    name: str
    ready: bool


class IndexRequest(Message):
    """Whether to list only what is ready."""

    ready: StrictBool = False


class ControlRequest(Message):
    """A load or unload request. It has no parameters here, but clients of Triton send the key."""

    parameters: Annotated[dict[str, Any], BeforeValidator(present)] = {}


class IndexEntry(Message):
    """A version in the repository."""

    name: str
    version: str
    state: Literal["READY", "LOADING", "UNLOADING", "UNAVAILABLE"]
    reason: str = Field(description="Why it is in this state, such as why a package was refused.")


class ErrorDocument(Message):
    """The protocol's error."""

    error: str


M = TypeVar("M", bound=Message)


def parse(kind: type[M], text: bytes | memoryview) -> M:
    """Read a message.

    Raises:
        ProblemError: 400, if it is not JSON, or if a field is missing or has a wrong type. The text names the field.
    """
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise invalid(f"The body is not JSON ({error}): send a JSON object, and check the length headers.") from None
    if not isinstance(document, dict):
        raise invalid(f"The body is a JSON {json_type(document)}: send an object.")
    return checked(kind, document)


def checked(kind: type[M], document: dict[str, Any]) -> M:
    """Read a message from what its JSON or its protocol buffer holds.

    Raises:
        ProblemError: 400, if a field is missing or has a wrong type. The text names the field.
    """
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        raise invalid("; ".join(described(error.errors(), got=json_type)[:SHOWN_FAULTS]) + ".") from None


def json_type(value: object) -> str:
    """Name the JSON type of a value, and the value itself if it is a number or a short string."""
    if isinstance(value, bool) or value is None:
        return orjson.dumps(value).decode()
    if isinstance(value, int | float):
        return f"number {value!r}"
    if isinstance(value, str):
        return f"string {value!r}" if len(value) <= 40 else "string"
    return "array" if isinstance(value, list) else "object"
