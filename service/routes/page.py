"""``GET /``, ``GET /models`` and ``GET /status``: the page for people, and its files."""

from functools import lru_cache
from pathlib import Path

from fastapi import APIRouter, FastAPI, Request
from starlette.responses import Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from service.http.files import Prepared, PreparedFiles, answer, prepare
from service.http.root_path import root_of

PAGE = Path(__file__).parent.parent / "page"

router = APIRouter()


@router.get("/", include_in_schema=False)
@router.get("/models", include_in_schema=False)
@router.get("/status", include_in_schema=False)
async def page(request: Request) -> Response:
    """The page: one document. Its script shows the view for the address."""
    return answer(document(root_of(request.scope)), request.headers)


@lru_cache(maxsize=8)
def document(root: str) -> Prepared:
    """The document, whose links begin with the prefix under which a proxy offers the service."""
    text = (PAGE / "index.html").read_text(encoding="utf-8")
    return prepare(text.replace('="/', f'="{root}/').encode(), "text/html")


def mount_files(app: FastAPI) -> None:
    """Serve the page's scripts, styles and demo images. The files of /docs are prepared and kept in the same way."""
    app.mount("/static", PreparedFiles(PAGE), name="static")
    for route in app.routes:
        if isinstance(route, Mount) and isinstance(route.app, StaticFiles) and route.path == "/docs-static":
            assert route.app.directory is not None
            route.app = PreparedFiles(Path(route.app.directory))
