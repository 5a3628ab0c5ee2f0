"""``GET /`` and ``GET /models``: the page for people, and its files."""

from pathlib import Path

from fastapi import APIRouter, FastAPI
from starlette.responses import FileResponse
from starlette.staticfiles import StaticFiles

PAGE = Path(__file__).parent.parent / "page"
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}

router = APIRouter()


@router.get("/", include_in_schema=False)
@router.get("/models", include_in_schema=False)
async def page() -> FileResponse:
    """The page, one document whose script shows the view that its address names."""
    return FileResponse(PAGE / "index.html", headers=HEADERS)


def mount_files(app: FastAPI) -> None:
    """Serve the page's scripts, styles and demo images."""
    app.mount("/static", StaticFiles(directory=PAGE), name="static")
