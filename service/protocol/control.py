"""Load and unload of the model repository extension."""

from collections.abc import Iterable
from http import HTTPStatus

from models.package import PackageError
from service.http.problems import ProblemError, translated
from service.protocol import invalid
from service.state import State


async def load(state: State, name: str, parameters: Iterable[str]) -> None:
    """Load the packages of a model as they are now. The old versions are served until the new ones are ready.

    Raises:
        ProblemError: 400 if there are parameters, or if a package is refused; 404 if the folder has no such model.
    """
    if named := ", ".join(parameters):
        raise invalid(
            f"parameters: {named[:100]}: a model is loaded from the repository's folder as it is, so load takes none."
        )
    try:
        with translated():
            await state.lifecycle.load(name)
    except PackageError as error:
        raise ProblemError(
            HTTPStatus.BAD_REQUEST, "refused", f"Refused; the earlier version is still served: {error}"
        ) from None


async def unload(state: State, name: str) -> None:
    """Stop serving a model, and return when requests in flight are answered and the memory is free.

    Raises:
        ProblemError: 404 if no such model is served.
    """
    with translated():
        await state.lifecycle.unload(name)
