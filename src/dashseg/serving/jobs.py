"""Videos that wait, run, or are kept for their result: `Jobs`."""

from __future__ import annotations

import asyncio
import logging
import secrets
import shutil
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.exceptions import HTTPException

from dashseg.errors import InputError
from dashseg.inference import Segmenter
from dashseg.inference.video import segment_video
from dashseg.inference.video.pyav import load_av
from dashseg.inference.video.read import COMMA_RATE
from dashseg.outputs import temporary_folder
from dashseg.serving.settings import Settings
from dashseg.serving.work import busy

_REMEMBERED = 100  # jobs without a result, of which the last are still told about
_LOOK = 16  # frames between two looks at how large the files are
# The first bytes of the containers that FFmpeg may open here. Playlists are none of them: they
# would make it read other files and addresses.
_STARTS = {
    b"\x1aE\xdf\xa3": ".mkv",
    b"\x00\x00\x01\xba": ".mpg",
    b"\x30\x26\xb2\x75": ".wmv",
}
_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip")  # of MP4 and MOV
_TS_PACKET = 188


class _Cancelled(Exception):
    pass


@dataclass
class Job:
    """One video. `frames` are done, of `total` (0: not known)."""

    model: str
    folder: Path
    id: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    status: str = "uploading"  # then queued, running, and done, failed or cancelled
    frames: int = 0
    total: int = 0
    rate: float = 0
    detail: str | None = None
    asked_to_stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.source = self.folder / "video"
        self.result = self.folder / "result.mp4"

    @property
    def holds_room(self) -> bool:
        """Whether it has files, or will have them."""
        return self.status not in ("failed", "cancelled")

    def describe(self) -> dict[str, Any]:
        """What the service says of it."""
        names = ("id", "status", "frames", "total", "detail")
        return {name: getattr(self, name) for name in names}

    def name_source(self, suffix: str) -> None:
        """Rename the file that was sent, so that a raw stream is known as one."""
        self.source = self.source.rename(self.source.with_suffix(suffix))


class Jobs:
    """Runs one video after the other, in a thread."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._jobs: dict[str, Job] = {}
        self._thread = ThreadPoolExecutor(1, "video")
        self._tasks: set[asyncio.Task[None]] = set()
        self._stack = ExitStack()
        self._root: Path | None = None

    def open(self) -> None:
        """Make the folder for the videos; those of killed servers are deleted."""
        parent = Path(tempfile.gettempdir())
        self._root = self._stack.enter_context(temporary_folder(parent, parent / "dashseg-serve"))

    def close(self) -> None:
        """Stop what runs, and delete all files."""
        for job in self._jobs.values():
            job.asked_to_stop.set()
        self._thread.shutdown(cancel_futures=True)
        self._stack.close()

    def find(self, id: str) -> Job | None:
        """The job with that id; None: there is none any more."""
        return self._jobs.get(id)

    @contextmanager
    def admit(self, model: str) -> Iterator[Job]:
        """Room for one more video, which the block receives and starts; else it is forgotten.

        Raises:
            HTTPException: 503, there are `max_jobs`.
        """
        if sum(job.holds_room for job in self._jobs.values()) >= self.settings.max_jobs:
            raise busy("as many videos as may wait, run or be kept; try again later")
        assert self._root is not None
        job = Job(model, Path(tempfile.mkdtemp(dir=self._root)))
        self._jobs[job.id] = job
        try:
            yield job
        except OSError as error:
            self._forget(job)
            raise busy("there is no room for the video on the disk") from error
        except BaseException:
            self._forget(job)
            raise

    def check(self, job: Job) -> None:
        """Look at the video's header.

        Raises:
            HTTPException: 422 no video, 413 larger or longer than allowed.
        """
        av, settings = load_av(), self.settings
        try:
            with av.open(str(job.source)) as container:
                if not container.streams.video:
                    raise HTTPException(422, "the file has no video stream")
                stream = container.streams.video[0]
                rate = stream.average_rate or stream.codec_context.framerate or COMMA_RATE
                pixels = stream.codec_context.width * stream.codec_context.height
                seconds = (container.duration or 0) / av.time_base
        except av.error.FFmpegError as error:
            detail = f"not a video that can be read ({error.strerror})"
            raise HTTPException(422, detail) from error
        if not pixels:
            raise HTTPException(422, "not a video that can be read (its frames have no size)")
        if pixels > settings.max_video_pixels:
            detail = f"frames of {pixels} pixels: {settings.max_video_pixels} are allowed"
            raise HTTPException(413, detail)
        if seconds > settings.max_video_seconds:
            raise HTTPException(413, self._too_long)
        job.rate = float(rate)

    def start(self, job: Job, segmenter: Segmenter) -> None:
        """Segment the video when its turn comes."""
        job.status = "queued"
        task = asyncio.create_task(self._process(job, segmenter))
        self._tasks.add(task)  # the loop itself keeps only weak references
        task.add_done_callback(self._tasks.discard)

    def cancel(self, job: Job) -> None:
        """Stop the job, which takes until its next frame; one that has ended loses its result."""
        job.asked_to_stop.set()
        if job.status == "queued":  # its turn may be far away: its video goes now
            job.status = "cancelled"
            shutil.rmtree(job.folder, ignore_errors=True)
        elif job.status == "done":
            self._forget(job)
            job.status = "cancelled"

    async def _process(self, job: Job, segmenter: Segmenter) -> None:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, self._run, job, segmenter)
        loop.call_later(self.settings.keep_seconds, self._forget, job)
        ended = [job for job in self._jobs.values() if not job.holds_room]
        for old in ended[:-_REMEMBERED]:
            self._forget(old)

    def _run(self, job: Job, segmenter: Segmenter) -> None:
        def advance(frames: int, total: int) -> None:
            job.frames, job.total = frames, total
            if job.asked_to_stop.is_set():
                raise _Cancelled
            self._check_size(job)

        status = "failed"
        try:
            if job.asked_to_stop.is_set():
                raise _Cancelled
            job.status = "running"
            segment_video(segmenter, job.source, job.result, on_progress=advance)
            status = "done"
        except _Cancelled:
            status = "cancelled"
        except InputError as error:
            job.detail = str(error).replace(f"{job.source}", "the video")
            job.detail = job.detail.replace(f"{job.result}", "the result")
        except Exception:
            logging.getLogger("uvicorn.error").exception("a video job failed")
            job.detail = "the server failed; its log says why"
        if job.asked_to_stop.is_set():  # after the last frame, or while its files went
            status = "cancelled"
        job.source.unlink(missing_ok=True)
        if status != "done":
            shutil.rmtree(job.folder, ignore_errors=True)
        job.status = status

    def _check_size(self, job: Job) -> None:
        """The header may have lied about the length."""
        if job.frames > self.settings.max_video_seconds * job.rate + 1:
            raise InputError(self._too_long)
        if job.frames % _LOOK == 0:
            size = sum(path.stat().st_size for path in job.folder.rglob("*") if path.is_file())
            if size > 2 * self.settings.max_video_bytes:
                raise InputError("the result would be larger than this server allows")

    @property
    def _too_long(self) -> str:
        return f"the video is longer than the {self.settings.max_video_seconds:g} s allowed"

    def _forget(self, job: Job) -> None:
        self._jobs.pop(job.id, None)
        shutil.rmtree(job.folder, ignore_errors=True)


def video_suffix(first: bytes) -> str | None:
    """The suffix for a video file that starts so; None: no video, or one that is not allowed."""
    if first[4:8] in _BOXES:
        return ".mp4"
    if first[:4] == b"RIFF" and first[8:12] == b"AVI ":
        return ".avi"
    if first[:1] == b"G" and first[_TS_PACKET : _TS_PACKET + 1] == b"G":
        return ".ts"
    if first[:4] in _STARTS:
        return _STARTS[first[:4]]
    start = first.find(b"\x00\x00\x01", 0, 4)  # a raw stream's first unit
    if start < 0 or len(first) < start + 4:
        return None
    kind = first[start + 3]
    # H.265's first units are parameters (32 to 35 in bits 1 to 6), H.264's 7 and 9 in bits 0 to 4.
    return ".hevc" if 32 <= kind >> 1 & 63 <= 35 else ".h264" if kind & 31 in (7, 9) else None
