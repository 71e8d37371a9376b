"""/v1/live, spoken to by an independent WebSocket client."""

import io
import json
import re

import numpy as np
import PIL.Image
import pytest

client = pytest.importorskip("websockets.sync.client")
from websockets.exceptions import ConnectionClosed, InvalidStatus  # noqa: E402


@pytest.fixture
def live(tiny_service):
    with client.connect(f"ws://{tiny_service}/v1/live?model=tiny") as socket:
        yield socket


def jpeg(seed: int = 0, size: tuple[int, int] = (60, 80)) -> bytes:
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 256, (size[0] // 10, size[1] // 10, 3), np.uint8)
    file = io.BytesIO()
    PIL.Image.fromarray(blocks.repeat(10, 0).repeat(10, 1)).save(file, "JPEG")
    return file.getvalue()


def bomb() -> bytes:
    """A small file whose header says 65,535 × 65,535 pixels."""
    data = jpeg()
    start = data.index(b"\xff\xc0") + 5  # marker, length and depth come first
    return data[:start] + b"\xff\xff\xff\xff" + data[start + 4 :]


def ids(answer) -> np.ndarray:
    assert isinstance(answer, bytes)
    picture = PIL.Image.open(io.BytesIO(answer))
    assert picture.format == "PNG" and picture.mode == "L"
    return np.asarray(picture)


def test_a_frame_is_answered_by_its_label(live, segmenter) -> None:
    for seed in range(3):
        live.send(jpeg(seed))
        expected = segmenter(PIL.Image.open(io.BytesIO(jpeg(seed)))).label
        np.testing.assert_array_equal(ids(live.recv(30)), expected)


def test_the_newest_frame_wins(serve, gated) -> None:
    gate = gated.runtime
    with serve({"gated": gated}) as address, client.connect(f"ws://{address}/v1/live") as live:
        live.send(jpeg(size=(40, 40)))  # at work
        assert gate.began.wait(30)
        live.send(jpeg(size=(40, 50)))
        live.send(jpeg(size=(40, 60)))  # takes the other's place
        assert live.ping().wait(30)  # answered after the frames were read
        gate.open.set()
        assert ids(live.recv(30)).shape == (40, 40)
        assert ids(live.recv(30)).shape == (40, 60)
        live.send(jpeg(size=(40, 70)))
        assert ids(live.recv(30)).shape == (40, 70)


@pytest.mark.parametrize(
    ("frame", "says"),
    [
        (jpeg()[:300], "truncated|damaged"),
        (b"GIF89a" + bytes(100), "not a JPEG"),
        (b"", "binary message"),
        ("text", "binary message"),
        (jpeg() + bytes(4_000_000), "4000000 are allowed"),
        (bomb(), "pixels"),
    ],
    ids=["truncated", "another-kind", "empty", "text", "too-many-bytes", "too-many-pixels"],
)
def test_a_bad_frame_is_told_why_and_the_next_one_is_answered(live, frame, says) -> None:
    live.send(frame)
    answer = json.loads(live.recv(30))
    assert answer.keys() == {"detail"}
    assert "\n" not in answer["detail"]
    assert re.search(says, answer["detail"]), answer
    live.send(jpeg())
    assert ids(live.recv(30)).shape == (60, 80)


@pytest.mark.parametrize("origin", ["http://elsewhere.example", "http://127.0.0.1:1", "null"])
def test_a_page_of_another_site_is_refused(tiny_service, origin) -> None:
    with pytest.raises(InvalidStatus) as refused:
        client.connect(f"ws://{tiny_service}/v1/live", origin=origin)
    assert refused.value.response.status_code == 403


def test_its_own_page_and_the_default_model_are_served(tiny_service) -> None:
    origin = f"http://{tiny_service}"
    with client.connect(f"ws://{tiny_service}/v1/live", origin=origin) as socket:
        socket.send(jpeg())
        assert ids(socket.recv(30)).shape == (60, 80)


def test_an_unknown_model_is_named_and_the_connection_closed(tiny_service) -> None:
    with client.connect(f"ws://{tiny_service}/v1/live?model=large") as socket:
        assert "tiny" in json.loads(socket.recv(30))["detail"]
        with pytest.raises(ConnectionClosed):
            socket.recv(30)


def test_a_client_that_leaves_harms_no_other(serve, gated, segmenter) -> None:
    with serve({"gated": gated}) as address:
        with client.connect(f"ws://{address}/v1/live") as leaving:
            leaving.send(jpeg())
            assert gated.runtime.began.wait(30)
        gated.runtime.open.set()
        with client.connect(f"ws://{address}/v1/live") as socket:
            socket.send(jpeg(1))
            expected = segmenter(PIL.Image.open(io.BytesIO(jpeg(1)))).label
            np.testing.assert_array_equal(ids(socket.recv(30)), expected)


def test_frames_that_need_more_memory_than_there_is_are_left_out(serve, segmenter) -> None:
    with (
        serve({"tiny": segmenter}, max_memory=100_000) as address,
        client.connect(f"ws://{address}/v1/live") as socket,
    ):
        for _ in range(3):  # what a frame held is given back
            socket.send(jpeg(size=(200, 200)))
            assert "bytes allowed" in json.loads(socket.recv(30))["detail"]
            socket.send(jpeg())
            assert ids(socket.recv(30)).shape == (60, 80)
