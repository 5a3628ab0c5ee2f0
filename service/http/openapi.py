"""The description of the operations and errors in OpenAPI: for whom they are, and as they are answered.

FastAPI describes every error as JSON of the kind that it would answer itself. Here an error is a problem document, and
under ``/v2`` the error of the Open Inference Protocol.
"""

from typing import Any

from fastapi import FastAPI

from service.http.problems import MEDIA_TYPE

PROBLEM = {"$ref": "#/components/schemas/ProblemDocument"}
PROTOCOL_ERROR = {"$ref": "#/components/schemas/ErrorDocument"}
SEND, RUN, AUDIT, PROTOCOL = "Send images", "Run the service", "Records and audit", "Open Inference Protocol"
TAGS = [
    {
        "name": SEND,
        "description": "For programs that send images: which models there are, what they answer, and what their cards "
        "say. Needs the scope `predict` where authentication is on.",
    },
    {
        "name": RUN,
        "description": "For whoever runs the service: health for load balancers, metrics for Prometheus (scope "
        "`metrics`), and loading of models (scope `admin`). The page `/status` shows the metrics to people.",
    },
    {
        "name": AUDIT,
        "description": "For whoever answers for the predictions: what was predicted, and which labels were confirmed. "
        "A caller sees its own records; the scope `admin` sees all.",
    },
    {
        "name": PROTOCOL,
        "description": "For clients of Triton, KServe and MLServer, such as `tritonclient.http`: metadata, inference "
        "and statistics in version 2 of their protocol.",
    },
]
"""The groups of the operations, by who calls them."""
NEVER_ANSWERED = "HTTPValidationError"
"""FastAPI's own error, in which no route of this service answers."""


def install(app: FastAPI) -> None:
    """Correct the description that the application gives of itself."""
    describe = app.openapi

    def openapi() -> dict[str, Any]:
        known = app.openapi_schema
        return known if known is not None else corrected(describe())

    app.openapi = openapi  # type: ignore[method-assign]


def corrected(document: dict[str, Any]) -> dict[str, Any]:
    """Give each operation a summary, and each error its media type and its schema, in place; return the document."""
    for path, operations in document["paths"].items():
        protocol = f"{path}/".startswith("/v2/")
        for operation in operations.values():
            # FastAPI's own summary is the name of the function.
            operation["summary"] = operation["description"].split(". ")[0].split("\n\n")[0].rstrip(".")
            responses = operation["responses"]
            for status in [status for status in responses if status.startswith(("4", "5"))]:
                content = responses[status].get("content", {})
                schema = content.get("application/json", {}).get("schema", {})
                names = {one.get("$ref", "").rpartition("/")[2] for one in schema.get("anyOf", [schema])}
                if NEVER_ANSWERED in names:
                    del responses[status]
                elif names & {"ProblemDocument", "ErrorDocument"}:
                    kind, error = ("application/json", PROTOCOL_ERROR) if protocol else (MEDIA_TYPE, PROBLEM)
                    responses[status]["content"] = {kind: {"schema": error}}
    for name in (NEVER_ANSWERED, "ValidationError"):
        document["components"]["schemas"].pop(name, None)
    return document
