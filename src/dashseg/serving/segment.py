"""`GET /v1/models` and `POST /v1/segment`."""

from __future__ import annotations

import time
from typing import Any

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import JSONResponse

from dashseg.serving import answers
from dashseg.serving.batching import Batcher
from dashseg.serving.uploads import read_image_upload

router = APIRouter(prefix="/v1")


@router.get("/models")
def models(request: Request) -> list[dict[str, Any]]:
    """The models that are loaded, and their classes; the first is the default."""
    batchers: dict[str, Batcher] = request.app.state.batchers
    return [
        {
            "name": name,
            "default": number == 0,
            "runtime": batcher.segmenter.runtime.name,
            "classes": answers.describe_classes(batcher.segmenter.classes),
        }
        for number, (name, batcher) in enumerate(batchers.items())
    ]


@router.post("/segment")
async def segment(request: Request, model: str | None = None, confidence: bool = False) -> Response:
    """Segment one image."""
    start = time.perf_counter()
    name, batcher = choose(request.app.state.batchers, model)
    image = await read_image_upload(request, request.app.state.settings)
    result = await batcher.segment(image)
    answer = answers.as_json(result, name, confidence)
    return JSONResponse({**answer, "seconds": round(time.perf_counter() - start, 4)})


def choose(batchers: dict[str, Batcher], model: str | None) -> tuple[str, Batcher]:
    """The model of that name; None: the default.

    Raises:
        HTTPException: 404, no such model.
    """
    name = next(iter(batchers)) if model is None else model
    if name not in batchers:
        raise HTTPException(404, f"no such model; there are {', '.join(batchers)}")
    return name, batchers[name]
