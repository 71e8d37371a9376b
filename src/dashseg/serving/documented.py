"""What OpenAPI says of bodies that FastAPI does not parse itself, with examples."""

from __future__ import annotations

from typing import Any

from dashseg.serving.uploads import KINDS

_BINARY = {"schema": {"type": "string", "format": "binary"}}
_CLASSES = [
    {"id": 0, "name": "road", "colour": "#402020"},
    {"id": 1, "name": "lane markings", "colour": "#ff0000"},
]
_PNG = "iVBORw0KGgo…"


def _json(example: object, description: str) -> dict[str, Any]:
    content = {"schema": {"type": "object"}, "example": example}
    return {"description": description, "content": {"application/json": content}}


def _form(kind: str) -> dict[str, Any]:
    """A form with one file."""
    file = {"type": "string", "format": "binary", "description": kind}
    return {
        "schema": {"type": "object", "properties": {"file": file}, "required": ["file"]},
    }


IMAGE: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "An image file: as the whole body, or as the field `file` of a form.",
        "content": {
            **dict.fromkeys((*KINDS, "application/octet-stream"), _BINARY),
            "multipart/form-data": _form("an image"),
        },
    }
}
VIDEO: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "A video file: as the whole body, or as the field `file` of a form.",
        "content": {
            **dict.fromkeys(("video/mp4", "application/octet-stream"), _BINARY),
            "multipart/form-data": _form("a video"),
        },
    }
}
INFER: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"type": "object"},
                "example": {
                    "inputs": [
                        {
                            "name": "image",
                            "datatype": "UINT8",
                            "shape": [1, 1, 2, 3],
                            "data": [90, 90, 90, 128, 128, 128],
                        }
                    ]
                },
            },
            "application/octet-stream": {
                **_BINARY,
                "example": '{"inputs": [{…, "parameters": {"binary_data_size": 6}}]} + 6 bytes',
            },
        },
    }
}
INFERRED: dict[int | str, dict[str, Any]] = {
    200: _json(
        {
            "model_name": "small",
            "model_version": "1",
            "outputs": [{"name": "label", "datatype": "UINT8", "shape": [1, 1, 2], "data": [0, 2]}],
        },
        "The label: class ids.",
    )
}
MODELS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The first is the default.",
        "content": {
            "application/json": {
                "example": [
                    {"name": "small", "default": True, "runtime": "torch", "classes": _CLASSES}
                ]
            }
        },
    }
}
SEGMENTED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "By `Accept`: JSON, a PNG, or the probabilities as an npy file.",
        "content": {
            "application/json": {
                "schema": {"type": "object"},
                "example": {
                    "model": "small",
                    "image": {"width": 960, "height": 720},
                    "classes": _CLASSES,
                    "class_map": {"0": "road", "1": "lane markings"},
                    "shares": {"road": 0.97, "lane markings": 0.03},
                    "segmentation_mask": _PNG,
                    "confidence": _PNG,
                    "seconds": 0.031,
                },
            },
            "image/png": _BINARY,
            "application/octet-stream": _BINARY,
        },
    }
}
_JOB = {
    "id": "y3Q…", "status": "running", "frames": 120, "total": 600, "detail": None,
}  # fmt: skip
JOB: dict[int | str, dict[str, Any]] = {200: _json(_JOB, "How far the job is.")}
JOB_MADE: dict[int | str, dict[str, Any]] = {202: _json(_JOB | {"status": "queued"}, "Begun.")}
FILM: dict[int | str, dict[str, Any]] = {
    200: {"description": "The video, its labels laid over it.", "content": {"video/mp4": _BINARY}}
}
PROBLEMS: dict[int | str, dict[str, Any]] = {
    code: _json({"detail": detail}, detail)
    for code, detail in {
        400: "the request is not one of HTTP's, or its Host header names another server",
        401: "a token is needed",
        403: "the Origin header names another site",
        404: "no such model, job or page",
        406: "no kind of answer that Accept allows",
        408: "the body arrives too slowly",
        413: "too many bytes, pixels or seconds",
        415: "another kind of file",
        422: "malformed, one sentence on what is wrong",
        503: "busy; Retry-After says when to try again",
    }.items()
}
