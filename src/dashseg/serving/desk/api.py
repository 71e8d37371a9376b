"""The desk over HTTP, under /desk/api. Errors are {"detail": one sentence}."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel, StringConstraints

from dashseg.errors import InputError
from dashseg.serving.desk.desk import Desk, NotFound, State
from dashseg.serving.desk.edits import NoVersion
from dashseg.serving.desk.journal import Stale

MAX_LABEL = 25_000_000  # bytes of a label sent; one of 8 megapixels has some 100 kB
_NO_CONTROL = r"^[^\x00-\x1f\x7f]*$"
_OWN = {"Cache-Control": "private, no-cache"}  # labels change; frames of another desk differ

Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=100, pattern=_NO_CONTROL),
]
FrameId = Annotated[int, Path(alias="id", ge=0, le=1 << 31)]


class MarkBody(BaseModel):
    """What somebody thinks of a frame's label."""

    verdict: Literal["right", "wrong", "unsure"] | None = None
    comment: Annotated[str, StringConstraints(strip_whitespace=True, max_length=2000)] = ""
    by: Name


class _Refused(Exception):
    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


class _Route(APIRoute):
    """Turns the desk's errors into answers."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await handle(request)
            except Stale as error:
                other = error.current
                content = {
                    "detail": str(error),
                    "version": other.version,
                    "edited_by": other.by or None,
                    "edited_at": other.time,
                }
                return JSONResponse(content, 409)
            except _Refused as error:
                return JSONResponse({"detail": str(error)}, error.status)
            except (NotFound, NoVersion) as error:
                return JSONResponse({"detail": str(error)}, 404)
            except InputError as error:
                return JSONResponse({"detail": str(error)}, 422)
            except RequestValidationError as error:
                first = error.errors()[0]
                where = ".".join(str(part) for part in first["loc"][1:])
                return JSONResponse({"detail": f"{where}: {first['msg']}"}, 422)
            except sqlite3.Error as error:
                detail = f"the journal cannot be written: {error}"
                return JSONResponse({"detail": detail}, 503, {"Retry-After": "5"})

        return answer


async def _read_body(request: Request) -> bytes:
    """The body, counted as it arrives."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_LABEL:
            raise _Refused(413, f"a label may have {MAX_LABEL} bytes")
    return bytes(body)


def desk_router(desk: Desk) -> APIRouter:
    """The desk's routes."""
    router = APIRouter(prefix="/desk/api", tags=["desk"], route_class=_Route)

    @router.get("/info")
    def info() -> dict[str, Any]:
        """The data set, its classes, and the orders there are."""
        return desk.info()

    @router.get("/frames")
    def frames(
        order: str = "files",
        state: State = "all",
        offset: Annotated[int, Query(ge=0, le=1 << 31)] = 0,
        limit: Annotated[int, Query(ge=1, le=500)] = 50,
    ) -> dict[str, Any]:
        """A page of the queue."""
        return desk.frames(order, state, offset, limit)

    @router.get("/frames/{id}")
    def frame(id: FrameId) -> dict[str, Any]:
        """One frame."""
        return desk.frame(id)

    @router.get("/frames/{id}/image", response_class=Response)
    def image(id: FrameId, if_none_match: Annotated[str | None, Header()] = None) -> Response:
        """The frame's image, PNG or JPEG, upright."""
        tag = f'"{desk.image_tag(id)}"'
        if if_none_match == tag:
            return Response(status_code=304, headers={"ETag": tag, **_OWN})
        data, kind = desk.image(id)
        return Response(data, media_type=kind, headers={"ETag": tag, **_OWN})

    @router.get("/frames/{id}/label", response_class=Response)
    def label(id: FrameId, version: str = "current") -> Response:
        """A version of the label (drawn, current or a number): 8-bit grey PNG of class ids."""
        numbers = {"current": None, "drawn": 0}
        if version not in numbers and not re.fullmatch("[0-9]{1,9}", version):
            raise InputError(f"version {version[:20]!r}: expected drawn, current or a number")
        wanted = numbers[version] if version in numbers else int(version)
        data, number = desk.label(id, wanted)
        return Response(data, media_type="image/png", headers={"ETag": f'"{number}"', **_OWN})

    @router.get("/frames/{id}/seen", response_class=Response)
    def seen(id: FrameId, model: str | None = None) -> Response:
        """What a model sees: 8-bit grey PNG of class ids, at the frame's size."""
        data = desk.seen(id, next(iter(desk.models), "") if model is None else model)
        return Response(data, media_type="image/png", headers=_OWN)

    @router.put("/frames/{id}/label")
    def save(
        id: FrameId,
        by: Annotated[Name, Query()],
        body: Annotated[bytes, Depends(_read_body)],
        response: Response,
        if_match: Annotated[str | None, Header()] = None,
    ) -> dict[str, Any]:
        """Save a label: 8-bit grey PNG of class ids, If-Match: the version it was drawn on."""
        match = re.fullmatch('"([0-9]{1,9})"', if_match or "")
        if match is None:
            raise _Refused(428, 'send If-Match: "N", the version that the label was drawn on')
        edit = desk.save(id, body, int(match[1]), by)
        response.headers["ETag"] = f'"{edit.version}"'
        return {"version": edit.version, "edited_by": edit.by, "edited_at": edit.time}

    @router.put("/frames/{id}/mark")
    def mark(id: FrameId, mark: MarkBody) -> dict[str, Any]:
        """Mark a frame; a null verdict takes the mark back."""
        return desk.mark(id, mark.verdict, mark.comment, mark.by)

    @router.get("/frames/{id}/history")
    def history(id: FrameId) -> list[dict[str, Any]]:
        """The frame's versions, oldest first."""
        return desk.history(id)

    @router.get("/export")
    def export() -> dict[str, Any]:
        """All marks and edits."""
        return desk.export()

    return router
