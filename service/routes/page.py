"""``GET /`` and ``GET /models``: the page for people, and its files."""

from pathlib import Path

from fastapi import APIRouter, FastAPI
from starlette.responses import FileResponse
from starlette.staticfiles import StaticFiles

PAGE = Path(__file__).parent.parent / "page"

router = APIRouter()


@router.get("/", include_in_schema=False)
@router.get("/models", include_in_schema=False)
async def page() -> FileResponse:
    """The page: one document. Its script shows the view for the address."""
    return FileResponse(PAGE / "index.html")


def mount_files(app: FastAPI) -> None:
    """Serve the page's scripts, styles and demo images."""
    app.mount("/static", StaticFiles(directory=PAGE), name="static")
