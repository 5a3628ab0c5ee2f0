"""The prefix under which a reverse proxy offers the service, such as ``/retina``, in the scope of a request."""

from starlette.types import Scope


def under(root: str, scope: Scope) -> Scope:
    """Return the scope of a request with the prefix in its path, as ASGI has it."""
    path, raw_path = scope["path"], scope["raw_path"]
    if path == root:
        path, raw_path = f"{root}/", f"{root}/".encode()
    elif not path.startswith(f"{root}/"):
        path, raw_path = root + path, root.encode() + raw_path
    return {**scope, "root_path": root, "path": path, "raw_path": raw_path}


def root_of(scope: Scope) -> str:
    """The prefix of the application. Inside a mounted folder ``root_path`` alone names the folder too."""
    return str(scope.get("app_root_path", scope.get("root_path", "")))


def path_of(scope: Scope) -> str:
    """The path of a request without the prefix."""
    return str(scope["path"]).removeprefix(root_of(scope))
