"""The pages' files, read once: a request's path is a key among them, and never a path on disk."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from importlib import resources
from importlib.resources.abc import Traversable

from fastapi import APIRouter, HTTPException, Request, Response

_TYPES = {  # of the files there are; what `mimetypes` says depends on the machine
    "js": "text/javascript",
    "css": "text/css",
    "html": "text/html",
    "svg": "image/svg+xml",
    "png": "image/png",
}
_DESK_HIDDEN, _DESK_SHOWN = b'href="/desk/" hidden', b'href="/desk/"'


@dataclass(frozen=True)
class _File:
    body: bytes
    kind: str  # media type
    tag: str  # ETag


def static_router(desk: bool) -> APIRouter:
    """`/` and `/static/page/…`; with a desk, `/desk/`, `/static/desk/…` and a link to it on `/`."""
    router = APIRouter(include_in_schema=False)
    base = _load(resources.files("dashseg.pages") / "templates" / "base.css")

    @router.get("/static/base.css")
    def base_style(request: Request) -> Response:
        return _answer(base, request)

    page = _read("page")
    if desk:
        html = page["index.html"].body.replace(_DESK_HIDDEN, _DESK_SHOWN)
        page["index.html"] = _file(html, "index.html")
        _serve(router, "desk", "/desk/", _read("desk"))
    _serve(router, "page", "/", page)
    return router


def _serve(router: APIRouter, folder: str, index: str, files: dict[str, _File]) -> None:
    @router.get("/static/" + folder + "/{name}")
    def file(name: str, request: Request) -> Response:
        if name not in files:
            raise HTTPException(404, "no such file")
        return _answer(files[name], request)

    @router.get(index)
    def page(request: Request) -> Response:
        return file("index.html", request)


def _answer(file: _File, request: Request) -> Response:
    headers = {"ETag": file.tag, "Cache-Control": "no-cache"}
    if request.headers.get("if-none-match") == file.tag:
        return Response(status_code=304, headers=headers)
    return Response(file.body, media_type=file.kind, headers=headers)


def _read(folder: str) -> dict[str, _File]:
    root = resources.files("dashseg") / "serving" / "static" / folder
    found = [entry for entry in root.iterdir() if entry.is_file()] if root.is_dir() else []
    return {entry.name: _load(entry) for entry in found}


def _load(entry: Traversable) -> _File:
    return _file(entry.read_bytes(), entry.name)


def _file(body: bytes, name: str) -> _File:
    kind = _TYPES.get(name.rpartition(".")[2], "application/octet-stream")
    return _File(body, kind, f'"{sha256(body).hexdigest()[:16]}"')
