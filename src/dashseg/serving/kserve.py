"""KServe's Open Inference Protocol v2, which the clients of Triton and OpenVINO Model Server speak.

A model takes `image`, uint8 [1, H, W, 3] RGB, and gives `label`, uint8 [1, H, W]. Tensors are JSON
or, by the binary tensor data extension, bytes that follow the JSON part of a body.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import JSONResponse

from dashseg import __version__
from dashseg.errors import InputError
from dashseg.files import parse_json
from dashseg.inference import Result
from dashseg.labels import Image, Label
from dashseg.serving import documented
from dashseg.serving.batching import Batcher
from dashseg.serving.segment import choose
from dashseg.serving.settings import Settings
from dashseg.serving.work import in_thread, share_of, unless_gone

LENGTH = "Inference-Header-Content-Length"  # bytes of the JSON part
_VERSION = "1"
_PER_VALUE = 16  # bytes of memory for each byte of JSON numbers, while they are parsed
_TEXT_PER_VALUE = 12  # bytes of memory for each number of a JSON answer

router = APIRouter(prefix="/v2", tags=["KServe v2"])


@router.get("")
def server() -> dict[str, Any]:
    """What this server is."""
    return {"name": "dashseg", "version": __version__, "extensions": ["binary_tensor_data"]}


@router.get("/health/live")
def live() -> dict[str, bool]:
    """The process answers. Needs no token."""
    return {"live": True}


@router.get("/health/ready")
def ready() -> dict[str, bool]:
    """The models are loaded. Needs no token."""
    return {"ready": True}


@router.get("/models/{name}", responses=documented.PROBLEMS)
def model(name: str, request: Request) -> dict[str, Any]:
    """A model's inputs and outputs; -1 is any size."""
    _, batcher = choose(request.app.state.batchers, name)
    return {
        "name": name,
        "versions": [_VERSION],
        "platform": f"dashseg_{batcher.segmenter.runtime.name}",
        "inputs": [{"name": "image", "datatype": "UINT8", "shape": [1, -1, -1, 3]}],
        "outputs": [{"name": "label", "datatype": "UINT8", "shape": [1, -1, -1]}],
    }


@router.get("/models/{name}/ready", responses=documented.PROBLEMS)
def model_ready(name: str, request: Request) -> dict[str, Any]:
    """The model is loaded."""
    choose(request.app.state.batchers, name)
    return {"name": name, "ready": True}


@router.post(
    "/models/{name}/infer",
    openapi_extra=documented.INFER,
    responses=documented.INFERRED | documented.PROBLEMS,
)
async def infer(name: str, request: Request) -> Response:
    """Segment one frame, sent as a tensor."""
    _, batcher = choose(request.app.state.batchers, name)
    body = await request.body()
    length = request.headers.get(LENGTH, str(len(body)))
    if not (length.isascii() and length.isdigit() and int(length[:20]) <= len(body)):
        raise HTTPException(422, f"{LENGTH}: {length[:20]}: a body of {len(body)} bytes came")
    share_of(request).take(_PER_VALUE * int(length))
    return await unless_gone(request, _infer(name, batcher, body, int(length), request))


async def _infer(
    name: str, batcher: Batcher, body: bytes, length: int, request: Request
) -> Response:
    settings: Settings = request.app.state.settings
    asked = await in_thread(request, _parse, body, length, settings)
    pixels = asked.image.shape[0] * asked.image.shape[1]
    share_of(request).take(pixels * (2 if asked.binary else _TEXT_PER_VALUE))
    result = await batcher.segment(asked.image)
    return await in_thread(request, _answer, name, asked, result)


@dataclass(frozen=True)
class _Asked:
    image: Image
    binary: bool  # the answer's tensor
    id: str | None


def _parse(body: bytes, length: int, settings: Settings) -> _Asked:
    """A request's body, whose first `length` bytes are JSON.

    Raises:
        HTTPException: 422, 413 too many pixels.
    """
    try:
        asked = parse_json(body[:length].decode(), "the request")
    except (UnicodeDecodeError, InputError) as error:
        raise HTTPException(422, f"the request is not JSON: {error}"[:300]) from error
    inputs = _field(asked, "inputs", list)
    if len(inputs) != 1:
        raise HTTPException(422, f"inputs: one tensor called image is expected, not {len(inputs)}")
    tensor = inputs[0]
    if _field(tensor, "name", str) != "image" or _field(tensor, "datatype", str) != "UINT8":
        raise HTTPException(422, "inputs: the tensor must be called image and be of UINT8")
    shape = _field(tensor, "shape", list)
    sides = [side for side in shape if type(side) is int and 0 < side <= settings.max_pixels]
    if len(shape) != 4 or len(sides) != 4 or (shape[0], shape[3]) != (1, 3):
        raise HTTPException(422, "inputs: the shape must be [1, height, width, 3]")
    if shape[1] * shape[2] > settings.max_pixels:
        raise HTTPException(413, f"{settings.max_pixels} pixels are allowed")
    size = _parameter(tensor, "binary_data_size", int)
    if size is None:
        values = _numbers(tensor.get("data"), math.prod(shape))
    elif size != len(body) - length or size != math.prod(shape):
        raise HTTPException(
            422,
            f"binary_data_size is {str(size)[:20]}, {len(body) - length} bytes follow the JSON,"
            f" and the shape needs {math.prod(shape)}",
        )
    else:
        values = np.frombuffer(body, np.uint8, offset=length)
    identifier = asked.get("id")
    if identifier is not None and not isinstance(identifier, str):
        raise HTTPException(422, "id: a string is expected")
    return _Asked(values.reshape(shape[1:]), _wants_binary(asked), identifier)


def _numbers(data: object, count: int) -> Label:
    """A JSON tensor, nested or flat -> uint8 (count,)."""
    try:
        values = np.asarray(data if isinstance(data, list) else [])
    except (ValueError, OverflowError) as error:  # ragged, or nested deeper than NumPy goes
        raise HTTPException(422, "inputs: data has rows of different lengths") from error
    if values.size != count:
        raise HTTPException(422, f"inputs: data has {values.size} values; the shape needs {count}")
    if values.dtype.kind not in "iu" or values.min() < 0 or values.max() > 255:
        raise HTTPException(422, "inputs: data must be whole numbers from 0 to 255")
    return values.astype(np.uint8).ravel()


def _wants_binary(asked: dict[str, Any]) -> bool:
    outputs = asked.get("outputs") or [{"name": "label"}]
    if not isinstance(outputs, list) or len(outputs) != 1:
        raise HTTPException(422, "outputs: there is one, called label")
    if _field(outputs[0], "name", str) != "label":
        raise HTTPException(422, "outputs: there is one, called label")
    own = _parameter(outputs[0], "binary_data", bool)
    return bool(_parameter(asked, "binary_data_output", bool) if own is None else own)


def _field(value: object, name: str, kind: type[Any]) -> Any:
    found = value.get(name) if isinstance(value, dict) else None
    if not isinstance(found, kind):
        raise HTTPException(422, f"'{name}' is missing, or not a JSON {kind.__name__}")
    return found


def _parameter(value: dict[str, Any], name: str, kind: type[Any]) -> Any:
    parameters = value.get("parameters")
    found = None if parameters is None else _field(value, "parameters", dict).get(name)
    if found is not None and type(found) is not kind:
        raise HTTPException(422, f"parameters: {name} is not a JSON {kind.__name__}")
    return found


def _answer(name: str, asked: _Asked, result: Result) -> Response:
    label = np.ascontiguousarray(result.label)
    output: dict[str, Any] = {"name": "label", "datatype": "UINT8", "shape": [1, *label.shape]}
    answer: dict[str, Any] = {"model_name": name, "model_version": _VERSION, "outputs": [output]}
    if asked.id is not None:
        answer["id"] = asked.id
    if not asked.binary:
        output["data"] = label.ravel().tolist()
        return JSONResponse(answer)
    output["parameters"] = {"binary_data_size": label.nbytes}
    head = json.dumps(answer).encode()
    return Response(
        head + label.tobytes(),
        media_type="application/octet-stream",
        headers={LENGTH: str(len(head))},
    )
