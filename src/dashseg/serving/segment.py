"""`GET /v1/models` and `POST /v1/segment`."""

from __future__ import annotations

import time
from typing import Any, Literal

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import JSONResponse

from dashseg.inference import Result
from dashseg.serving import answers, documented
from dashseg.serving.batching import Batcher
from dashseg.serving.settings import Settings
from dashseg.serving.uploads import read_image_upload
from dashseg.serving.work import in_thread, share_of, unless_gone

JSON, PNG, NPY = "application/json", "image/png", "application/octet-stream"
Kind = Literal["label", "overlay", "mask"]
_PICTURES = {
    "label": answers.label_png,
    "overlay": answers.overlay_png,
    "mask": answers.mask_png,
}
_CONFIDENCE = 20  # bytes for each pixel: a few planes of float32

router = APIRouter(prefix="/v1", tags=["service"])


@router.get("/models", responses=documented.MODELS)
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


@router.post(
    "/segment",
    response_class=Response,
    openapi_extra=documented.IMAGE,
    responses=documented.SEGMENTED | documented.PROBLEMS,
)
async def segment(
    request: Request, model: str | None = None, kind: Kind = "mask", confidence: bool = False
) -> Response:
    """Segment one image; `Accept` chooses the answer.

    * application/json (the default): the share of each class, and the label as a base64 PNG of
      class ids; with `confidence=1` also a PNG of each pixel's probability, 255 = 1.
    * image/png: the mask in the palette's colours; `kind=label` class ids, `kind=overlay` the mask
      over the image.
    * application/octet-stream: the probabilities, an npy file of float32 (classes, height, width).
    """
    start = time.perf_counter()
    name, batcher = choose(request.app.state.batchers, model)
    wanted = accepted(request.headers.get("accept", ""), (JSON, PNG, NPY))
    if wanted is None:
        raise HTTPException(406, f"Accept allows none of {JSON}, {PNG} and {NPY}")
    settings: Settings = request.app.state.settings
    image = await read_image_upload(request, settings)
    pixels = image.shape[0] * image.shape[1]
    if wanted == NPY:
        size = 4 * pixels * len(batcher.segmenter.classes)
        if size > settings.max_answer:
            detail = f"the answer would have {size} bytes; {settings.max_answer} are allowed"
            raise HTTPException(413, detail)
        share_of(request).take(4 * size)  # logits, their softmax, and the file
    elif wanted == JSON and confidence:
        share_of(request).take(_CONFIDENCE * pixels)

    async def work() -> Response:
        result = await batcher.segment(image)
        return await in_thread(request, _render, result, name, wanted, kind, confidence, start)

    return await unless_gone(request, work())


def choose(batchers: dict[str, Batcher], model: str | None) -> tuple[str, Batcher]:
    """The model of that name; None: the default.

    Raises:
        HTTPException: 404, no such model.
    """
    name = next(iter(batchers)) if model is None else model
    if name not in batchers:
        raise HTTPException(404, f"no such model; there are {', '.join(batchers)}")
    return name, batchers[name]


def accepted(accept: str, offers: tuple[str, ...]) -> str | None:
    """The media type that an Accept header likes best; of equals the first; None: it allows none.

    >>> accepted("image/*;q=0.5, application/json;q=0.1", ("application/json", "image/png"))
    'image/png'
    """
    ranges: dict[str, float] = {}
    for part in accept.split(",") if accept.strip() else ["*/*"]:
        media, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = next((p[2:] for p in parameters if p.startswith("q=")), "1")
        try:
            ranges[media] = min(1.0, max(0.0, float(quality)))
        except ValueError:
            ranges[media] = 0.0

    def liking(offer: str) -> float:
        wide = offer.partition("/")[0] + "/*"
        found = (ranges[media] for media in (offer, wide, "*/*") if media in ranges)
        return next(found, 0.0)

    best = max(offers, key=liking)
    return best if liking(best) > 0 else None


def _render(
    result: Result, name: str, wanted: str, kind: Kind, confidence: bool, start: float
) -> Response:
    if wanted == JSON:
        answer = answers.as_json(result, name, confidence)
        return JSONResponse({**answer, "seconds": round(time.perf_counter() - start, 4)})
    body = _PICTURES[kind](result) if wanted == PNG else answers.probabilities_npy(result)
    return Response(body, media_type=wanted)
