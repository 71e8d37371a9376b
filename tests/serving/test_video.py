"""Videos: sent, segmented in the background, fetched; and what must not be opened."""

from __future__ import annotations

import io
import json
import tempfile
import time

import numpy as np
import pytest

av = pytest.importorskip("av")
FRAMES, RATE = 12, 10


def film(frames: int = FRAMES, size: tuple[int, int] = (40, 56), kind: str = "mp4") -> bytes:
    """A video, written by FFmpeg."""
    file = io.BytesIO()
    rng = np.random.default_rng(0)
    with av.open(file, "w", format=kind) as container:
        stream = container.add_stream("mpeg4", rate=RATE)
        stream.height, stream.width = size
        for _ in range(frames):
            pixels = rng.integers(0, 255, (*size, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    return file.getvalue()


@pytest.fixture(scope="module")
def clip() -> bytes:
    return film()


@pytest.fixture
def send(ask):
    """send(address, body) -> (status, answer)."""

    def run(address, body, headers=(), query=""):
        status, _, answer = ask(address, "POST", f"/v1/video{query}", body, headers)
        return status, json.loads(answer)

    return run


@pytest.fixture
def follow(ask):
    """follow(address, id, *statuses) -> the job, once it has one of them."""

    def run(address, id, *statuses):
        end = time.monotonic() + 30
        while time.monotonic() < end:
            job = json.loads(ask(address, "GET", f"/v1/video/{id}")[2])
            if job.get("status") in statuses:
                return job
            time.sleep(0.01)
        raise AssertionError(f"still {job}")

    return run


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """folder() -> the one that the server keeps videos in."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return lambda: next(tmp_path.glob(".dashseg-serve*"), None)


@pytest.mark.parametrize("kind", ["mp4", "matroska", "avi", "mpegts"])
def test_a_video_is_segmented_and_fetched(ask, send, follow, tiny_service, kind) -> None:
    status, job = send(tiny_service, film(kind=kind))
    assert (status, job["status"]) == (202, "queued") and len(job["id"]) >= 16
    job = follow(tiny_service, job["id"], "done", "failed")
    assert (job["status"], job["frames"], job["detail"]) == ("done", FRAMES, None)
    status, headers, body = ask(tiny_service, "GET", f"/v1/video/{job['id']}/result")
    assert (status, headers["content-type"]) == (200, "video/mp4")
    with av.open(io.BytesIO(body)) as container:
        shapes = {(frame.height, frame.width) for frame in container.decode(video=0)}
        assert shapes == {(40, 56)}
    assert ask(tiny_service, "DELETE", f"/v1/video/{job['id']}")[0] == 200  # makes room
    assert ask(tiny_service, "GET", f"/v1/video/{job['id']}/result")[0] == 404


def test_a_form_carries_a_video_too(send, follow, serve, segmenter, clip) -> None:
    head = b'--xyz\r\nContent-Disposition: form-data; name="file"; filename="a.mp4"\r\n\r\n'
    form = {"Content-Type": "multipart/form-data; boundary=xyz"}
    with serve({"tiny": segmenter}) as address:
        status, job = send(address, head + clip + b"\r\n--xyz--\r\n", form)
        assert status == 202
        assert follow(address, job["id"], "done", "failed")["frames"] == FRAMES


def test_jobs_wait_are_bounded_and_can_be_cancelled(
    ask, send, follow, serve, gated, clip, folder
) -> None:
    with serve({"gated": gated}, max_jobs=2) as address:
        first, second = (send(address, clip)[1]["id"] for _ in range(2))
        assert gated.runtime.began.wait(20)
        status, answer = send(address, clip)
        assert status == 503 and "videos" in answer["detail"]
        assert ask(address, "GET", f"/v1/video/{first}/result")[0] == 404
        assert ask(address, "DELETE", f"/v1/video/{second}")[0] == 200
        videos = [path for path in folder().rglob("video*") if path.is_file()]
        assert len(videos) == 1  # a cancelled one takes no room until its turn comes
        assert ask(address, "DELETE", f"/v1/video/{first}")[0] == 200
        gated.runtime.open.set()
        for id in (first, second):
            follow(address, id, "cancelled")
        assert len(gated.runtime.frames) < FRAMES
        status, job = send(address, clip)  # there is room again
        assert status == 202
        follow(address, job["id"], "done")


def test_results_expire_and_all_files_go_with_the_server(
    ask, send, follow, serve, segmenter, clip, folder
) -> None:
    with serve({"tiny": segmenter}, keep_seconds=0.2) as address:
        assert ask(address)[0] == 200
        own = folder()
        id = send(address, clip)[1]["id"]
        end = time.monotonic() + 20
        while ask(address, "GET", f"/v1/video/{id}")[0] == 200:
            assert time.monotonic() < end
        assert [path.name for path in own.iterdir()] == ["lock"]
    assert not own.exists()


def test_a_client_that_leaves_while_it_sends_leaves_no_file(
    ask, serve, segmenter, clip, disconnect, folder
) -> None:
    with serve({"tiny": segmenter}) as address:
        assert ask(address)[0] == 200
        own = folder()
        disconnect(address, "/v1/video", len(clip), clip[:1000])
        end = time.monotonic() + 20
        while [path.name for path in own.iterdir()] != ["lock"]:
            assert time.monotonic() < end
        assert ask(address)[0] == 200


PLAYLIST = b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (422, b""),
        (415, b"hello"),
        (415, PLAYLIST),
        (415, b"ffconcat version 1.0\nfile /etc/passwd\n"),
        (415, b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\n"),
        (415, b"<?xml version='1.0'?><MPD></MPD>"),
        (422, b"\0\0\0\x18ftypisom" + bytes(100)),
        (422, b"\x1aE\xdf\xa3" + PLAYLIST * 10),
        (422, b"\0\0\0\x01\x67" + bytes(100)),
        (422, b"RIFF\0\0\0\0AVI " + bytes(100)),
    ],
)
def test_what_is_no_video_is_never_begun(ask, send, tiny_service, status, body) -> None:
    found, answer = send(tiny_service, body)
    assert found == status and answer["detail"] and tempfile.gettempdir() not in answer["detail"]
    assert ask(tiny_service)[0] == 200


def test_a_video_that_breaks_off_is_segmented_as_far_as_it_goes_or_fails(
    send, follow, tiny_service
) -> None:
    whole = film(kind="matroska")
    status, job = send(tiny_service, whole[: len(whole) // 2])
    assert status == 202
    job = follow(tiny_service, job["id"], "done", "failed")
    assert 0 < job["frames"] < FRAMES


def test_limits_on_bytes_length_and_size(send, serve, segmenter, clip) -> None:
    for limits in (
        {"max_video_bytes": len(clip) - 1},
        {"max_video_seconds": 1.0},
        {"max_video_pixels": 40 * 56 - 1},
    ):
        with serve({"tiny": segmenter}, **limits) as address:
            status, answer = send(address, clip)
            assert status == 413 and answer["detail"]


def test_a_length_that_the_header_hides_is_found_while_it_runs(
    send, follow, serve, segmenter
) -> None:
    raw = film(30, kind="mpegts")  # says no length that must be believed
    with serve({"tiny": segmenter}, max_video_seconds=1.0) as address:
        status, job = send(address, raw)
        if status == 202:
            job = follow(address, job["id"], "done", "failed")
            assert job["status"] == "failed" and "longer than the 1 s" in job["detail"]
        else:
            assert status == 413


def test_an_unknown_job_or_model(ask, send, tiny_service, clip) -> None:
    assert ask(tiny_service, "GET", "/v1/video/..%2f..%2fetc%2fpasswd")[0] == 404
    assert ask(tiny_service, "DELETE", "/v1/video/none")[0] == 404
    assert send(tiny_service, clip, query="?model=none")[0] == 404


def test_a_model_that_fails_fails_its_job_alone(ask, send, follow, serve, gated) -> None:
    gated.runtime.open.set()
    with serve({"gated": gated}) as address:
        file = io.BytesIO()
        with av.open(file, "w", format="mp4") as container:
            stream = container.add_stream("mpeg4", rate=RATE)
            stream.height, stream.width = 40, 56
            pixels = np.full((40, 56, 3), 255, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            container.mux(stream.encode(None))
        id = send(address, file.getvalue())[1]["id"]
        job = follow(address, id, "done", "failed")
        assert job["status"] == "failed" and "log" in job["detail"]
        assert ask(address)[0] == 200
