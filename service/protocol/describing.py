"""What is told of the served models, the same over REST and gRPC: metadata, configuration, statistics, index."""

from typing import Any

from service.http.admission import find_model
from service.protocol.messages import ModelMetadata
from service.protocol.metadata import model_config, model_metadata
from service.state import State


def metadata(state: State, name: str, version: str | None) -> ModelMetadata:
    """The tensors of a model.

    Raises:
        ProblemError: 404 for an unknown model or version.
    """
    found = find_model(state, name, version)
    return model_metadata(found, [version] if version else list(state.repository.models[name]))


def configuration(state: State, name: str, version: str | None) -> dict[str, Any]:
    """The configuration of a model, in the form of Triton.

    Raises:
        ProblemError: 404 for an unknown model or version.
    """
    found, settings = find_model(state, name, version), state.settings
    return model_config(found, served_versions=settings.served_versions, max_images=settings.max_files)


def statistics(state: State, name: str | None = None, version: str | None = None) -> dict[str, Any]:
    """The statistics of one version, of all versions of a model, or of everything that is served.

    Raises:
        ProblemError: 404 for an unknown model or version.
    """
    models = list(state.repository)
    if name is not None:
        found = find_model(state, name, version)
        models = [found] if version else list(state.repository.models[name].values())
    return {"model_stats": [state.predictor.of(m).metrics.statistics.document(m.name, m.version) for m in models]}


async def index(state: State, *, ready: bool) -> list[dict[str, str]]:
    """Every version in the repository, or those that are served alone."""
    return [entry for entry in await state.lifecycle.index() if entry["state"] == "READY" or not ready]
