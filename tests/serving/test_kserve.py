"""KServe v2 as Triton's documentation describes its requests and answers."""

from __future__ import annotations

import json

import numpy as np
import pytest

URL = "/v2/models/tiny/infer"
HEADER = "Inference-Header-Content-Length"


@pytest.fixture
def pixels(frame) -> np.ndarray:
    return np.asarray(frame)


def tensor(pixels: np.ndarray, **more: object) -> dict[str, object]:
    return {"name": "image", "datatype": "UINT8", "shape": [1, *pixels.shape], **more}


def binary(
    pixels: np.ndarray, size: int | None = None, **more: object
) -> tuple[bytes, dict[str, str]]:
    """A request in the form of the binary tensor data extension, and its headers."""
    parameters = {"binary_data_size": pixels.size if size is None else size}
    asked = {"inputs": [tensor(pixels, parameters=parameters)], **more}
    head = json.dumps(asked).encode()
    return head + pixels.tobytes(), {HEADER: str(len(head))}


def test_health_and_metadata(ask, tiny_service) -> None:
    for path in ("/v2/health/live", "/v2/health/ready", "/v2/models/tiny/ready"):
        assert ask(tiny_service, "GET", path)[0] == 200
    server = json.loads(ask(tiny_service, "GET", "/v2")[2])
    assert server["name"] == "dashseg" and "binary_tensor_data" in server["extensions"]
    model = json.loads(ask(tiny_service, "GET", "/v2/models/tiny")[2])
    assert model["inputs"] == [{"name": "image", "datatype": "UINT8", "shape": [1, -1, -1, 3]}]
    assert model["outputs"] == [{"name": "label", "datatype": "UINT8", "shape": [1, -1, -1]}]
    status, _, body = ask(tiny_service, "GET", "/v2/models/none/ready")
    assert status == 404 and "tiny" in json.loads(body)["error"]  # as Triton's clients read it


@pytest.mark.parametrize("nested", [True, False])
def test_json_tensors(ask, tiny_service, segmenter, pixels, nested) -> None:
    data = pixels[None].tolist() if nested else pixels.ravel().tolist()
    body = json.dumps({"id": "seven", "inputs": [tensor(pixels, data=data)]})
    status, _, answer = ask(tiny_service, "POST", URL, body)
    found = json.loads(answer)
    output = found["outputs"][0]
    assert (status, found["id"], found["model_name"]) == (200, "seven", "tiny")
    assert (output["name"], output["datatype"]) == ("label", "UINT8")
    label = np.array(output["data"], np.uint8).reshape(output["shape"])
    assert np.array_equal(label, segmenter(pixels).label[None])


@pytest.mark.parametrize(
    "asked",
    [
        {"parameters": {"binary_data_output": True}},
        {"outputs": [{"name": "label", "parameters": {"binary_data": True}}]},
    ],
)
def test_binary_tensors(ask, tiny_service, segmenter, pixels, asked) -> None:
    body, headers = binary(pixels, **asked)
    status, got, answer = ask(tiny_service, "POST", URL, body, headers)
    length = int(got[HEADER])
    output = json.loads(answer[:length])["outputs"][0]
    assert status == 200
    assert output["parameters"]["binary_data_size"] == len(answer) - length == 110 * 70
    label = np.frombuffer(answer[length:], np.uint8).reshape(output["shape"])
    assert np.array_equal(label, segmenter(pixels).label[None])


SMALL = np.zeros((2, 2, 3), np.uint8)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"inputs": {}}', b'{"inputs": [1]}',
        json.dumps({"inputs": []}),
        json.dumps({"inputs": [tensor(SMALL)] * 2}),
        json.dumps({"inputs": [tensor(SMALL, data=[0] * 11)]}),
        json.dumps({"inputs": [tensor(SMALL, data=[0] * 11 + [256])]}),
        json.dumps({"inputs": [tensor(SMALL, data=[0] * 11 + [-1])]}),
        json.dumps({"inputs": [tensor(SMALL, data=[0.5] * 12)]}),
        json.dumps({"inputs": [tensor(SMALL, data=["0"] * 12)]}),
        json.dumps({"inputs": [tensor(SMALL, data=[True] * 12)]}),
        json.dumps({"inputs": [tensor(SMALL, data=[10**30] * 12)]}),
        json.dumps({"inputs": [tensor(SMALL, data=[[0], [0, 0]])]}),
        json.dumps({"inputs": [tensor(SMALL, data={"0": 1})]}),
        json.dumps({"inputs": [tensor(SMALL, data=[0] * 12, datatype="FP32")]}),
        json.dumps({"inputs": [tensor(SMALL, data=[0] * 12, name="../x")]}),
        json.dumps({"inputs": [tensor(SMALL, data=[0] * 12, shape=[1, 12])]}),
        json.dumps({"inputs": [tensor(SMALL, data=[0] * 12, shape=[1, 2, 2, True])]}),
        json.dumps({"inputs": [tensor(SMALL, data=[], shape=[1, 0, 2, 3])]}),
        json.dumps({"inputs": [tensor(SMALL, data=[0] * 12)], "outputs": [{"name": "no"}]}),
        json.dumps({"inputs": [tensor(SMALL, data=[0] * 12)], "parameters": 1}),
        json.dumps({"inputs": [tensor(SMALL, data=[0] * 12)], "id": 1}),
        json.dumps({"inputs": [tensor(SMALL, parameters={"binary_data_size": "x"})]}),
    ],
)  # fmt: skip
def test_a_malformed_request_gets_422_and_a_sentence(ask, tiny_service, body) -> None:
    status, _, answer = ask(tiny_service, "POST", URL, body)
    assert status == 422 and json.loads(answer)["error"]


def test_wrong_lengths_are_refused(ask, tiny_service, pixels) -> None:
    body, headers = binary(pixels)
    for length in ("-1", "1e3", str(len(body) + 1), "9" * 5000, "", "²"):
        found = ask(tiny_service, "POST", URL, body, {HEADER: length.encode()})
        assert found[0] == 422
    assert ask(tiny_service, "POST", URL, body[:-1], headers)[0] == 422
    assert ask(tiny_service, "POST", URL, body + b"x", headers)[0] == 422
    for size in (0, -1, 1 << 62):
        assert ask(tiny_service, "POST", URL, *binary(pixels, size))[0] == 422
    assert ask(tiny_service, "POST", URL, body, headers)[0] == 200


def test_too_many_pixels_are_refused_before_they_are_read(ask, tiny_service) -> None:
    huge = tensor(SMALL, data=[], shape=[1, 10_000, 10_000, 3])
    assert ask(tiny_service, "POST", URL, json.dumps({"inputs": [huge]}))[0] == 413
