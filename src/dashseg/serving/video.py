"""`/v1/video`: a video is sent, segmented in the background, and fetched as an overlay."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import FileResponse

from dashseg.errors import InputError
from dashseg.inference.video.pyav import load_av
from dashseg.serving import documented
from dashseg.serving.jobs import Job, Jobs, video_suffix
from dashseg.serving.segment import choose
from dashseg.serving.settings import MB, Settings
from dashseg.serving.uploads import is_form, read_file

PATH = "/v1/video"
router = APIRouter(prefix=PATH, tags=["service"])


@router.post(
    "",
    status_code=202,
    openapi_extra=documented.VIDEO,
    responses=documented.JOB_MADE | documented.PROBLEMS,
)
async def begin(request: Request, model: str | None = None) -> dict[str, Any]:
    """Send a video, as the raw body or the field `file` of a form; its job begins."""
    name, batcher = choose(request.app.state.batchers, model)
    jobs: Jobs = request.app.state.jobs
    try:
        load_av()
    except InputError as error:
        raise HTTPException(501, str(error)) from error
    with jobs.admit(name) as job:
        if is_form(request):
            async with read_file(request, MB) as file:
                await _write(job, _pieces_of(file.read))
        else:
            await _write(job, request.stream())
        await asyncio.to_thread(jobs.check, job)
        jobs.start(job, batcher.segmenter)
    return job.describe()


@router.get("/{id}", responses=documented.JOB | documented.PROBLEMS)
def progress(id: str, request: Request) -> dict[str, Any]:
    """How far the job is: queued, running, done, failed or cancelled."""
    return _find(request, id).describe()


@router.delete("/{id}", responses=documented.JOB | documented.PROBLEMS)
def cancel(id: str, request: Request) -> dict[str, Any]:
    """Cancel the job, or delete its result."""
    job = _find(request, id)
    request.app.state.jobs.cancel(job)
    return job.describe()


@router.get(
    "/{id}/result",
    response_class=FileResponse,
    responses=documented.FILM | documented.PROBLEMS,
)
def result(id: str, request: Request) -> Response:
    """The video with its labels laid over it, an mp4; kept for a while after it is done."""
    job = _find(request, id)
    if job.status != "done":
        raise HTTPException(404, f"there is no result: the job is {job.status}")
    # No file name: the page names the download after the video that was sent.
    return FileResponse(job.result, media_type="video/mp4")


def _find(request: Request, id: str) -> Job:
    job = request.app.state.jobs.find(id)
    if job is None:
        raise HTTPException(404, "no such job; results are deleted after a while")
    return job


async def _pieces_of(read: Any) -> AsyncIterator[bytes]:
    while piece := await read(MB):
        yield piece


async def _write(job: Job, pieces: AsyncIterator[bytes]) -> None:
    """Write a body to the job's file; its first bytes say which kind it is."""
    held = b""
    kind: str | None = None
    with job.source.open("wb") as file:
        async for piece in pieces:
            held += piece
            if len(held) < MB and piece:
                continue
            kind = kind or _kind(held)
            await asyncio.to_thread(file.write, held)
            held = b""
        kind = kind or _kind(held)
        await asyncio.to_thread(file.write, held)
    job.name_source(kind)


def _kind(first: bytes) -> str:
    if not first:
        raise HTTPException(422, "the body is empty; send a video file")
    suffix = video_suffix(first)
    if suffix is None:
        raise HTTPException(
            415, "not an MP4, MOV, MKV, WebM, AVI, MPEG or WMV file, or raw HEVC or H.264"
        )
    return suffix


def limits(settings: Settings) -> dict[str, int]:
    """For the guard: bodies sent here go to files."""
    return {PATH: settings.max_video_bytes}
