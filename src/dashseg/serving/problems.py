"""Errors -> JSON answers: one sentence as `detail`, which KServe's clients read as `error`."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from dashseg.errors import InputError, one_line
from dashseg.serving.batching import Full
from dashseg.serving.work import GONE, Gone, busy


def problem(
    path: str, status: int, detail: str, headers: Mapping[str, str] | None = None
) -> Response:
    """The answer to a request for `path` that fails."""
    content = {"detail": one_line(detail)}
    if path.startswith("/v2/"):
        content["error"] = content["detail"]
    return JSONResponse(content, status, headers)


def explain_errors(app: FastAPI) -> None:
    """Make the application answer errors by `problem`."""

    async def of_http(request: Request, error: HTTPException) -> Response:
        return problem(request.scope["path"], error.status_code, error.detail, error.headers)

    async def of_full(request: Request, error: Full) -> Response:
        return await of_http(request, busy("the queue is full; try again in a second"))

    async def of_input(request: Request, error: InputError) -> Response:
        return problem(request.scope["path"], 422, str(error))

    async def of_parameters(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return problem(request.scope["path"], 422, f"{where}: {first['msg']}")

    async def of_gone(request: Request, error: Exception) -> Response:
        return Response(status_code=GONE)

    async def of_defect(request: Request, error: Exception) -> Response:
        return problem(request.scope["path"], 500, "the server failed; its log says why")

    handlers = {
        HTTPException: of_http, Full: of_full, InputError: of_input, Gone: of_gone,
        RequestValidationError: of_parameters, ClientDisconnect: of_gone, Exception: of_defect,
    }  # fmt: skip
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)  # type: ignore[arg-type]
