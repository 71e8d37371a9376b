"""The pages' files, read once: a request's path is a key among them, and never a path on disk."""

from __future__ import annotations

from hashlib import sha256
from importlib import resources

from fastapi import APIRouter, HTTPException, Request, Response

_TYPES = {  # of the files there are; what `mimetypes` says depends on the machine
    "js": "text/javascript",
    "css": "text/css",
    "html": "text/html",
    "svg": "image/svg+xml",
    "png": "image/png",
}


def static_router(desk: bool) -> APIRouter:
    """`/` and `/static/page/…`; with a desk, `/desk/` and `/static/desk/…` too."""
    router = APIRouter(include_in_schema=False)
    _serve(router, "page", "/")
    if desk:
        _serve(router, "desk", "/desk/")
    return router


def _serve(router: APIRouter, folder: str, index: str) -> None:
    files = _read(folder)

    @router.get("/static/" + folder + "/{name}")
    def file(name: str, request: Request) -> Response:
        if name not in files:
            raise HTTPException(404, "no such file")
        body, kind, tag = files[name]
        headers = {"ETag": tag, "Cache-Control": "no-cache"}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(body, media_type=kind, headers=headers)

    @router.get(index)
    def page(request: Request) -> Response:
        return file("index.html", request)


def _read(folder: str) -> dict[str, tuple[bytes, str, str]]:
    """File name -> its bytes, media type and ETag."""
    root = resources.files("dashseg") / "serving" / "static" / folder
    found = [entry for entry in root.iterdir() if entry.is_file()] if root.is_dir() else []
    files = {}
    for entry in found:
        body = entry.read_bytes()
        kind = _TYPES.get(entry.name.rpartition(".")[2], "application/octet-stream")
        files[entry.name] = body, kind, f'"{sha256(body).hexdigest()[:16]}"'
    return files
