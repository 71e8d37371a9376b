"""Result -> the bytes of an answer: JSON, PNG or npy."""

from __future__ import annotations

import base64
import io
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from dashseg.images import encode_png
from dashseg.inference import Result
from dashseg.inference.segmenter import as_array
from dashseg.labels import Classes, encode_mask, hex_colour

_FAST = 1  # PNG's compression of pictures


def describe_classes(classes: Classes) -> list[dict[str, Any]]:
    """[{"id", "name", "colour"}]."""
    named = zip(classes.names, classes.colours, strict=True)
    return [
        {"id": class_id, "name": name, "colour": hex_colour(colour)}
        for class_id, (name, colour) in enumerate(named)
    ]


def as_json(result: Result, model: str, with_confidence: bool) -> dict[str, Any]:
    """What `POST /v1/segment` answers, but for `seconds`."""
    height, width = result.image.shape[:2]
    answer = {
        "model": model,
        "image": {"width": width, "height": height},
        "classes": describe_classes(result.classes),
        "class_map": {str(class_id): name for class_id, name in enumerate(result.classes.names)},
        "shares": result.shares,
        "segmentation_mask": _base64(label_png(result)),
    }
    if with_confidence:
        answer["confidence"] = _base64(encode_png(confidence(result), _FAST))
    return answer


def label_png(result: Result) -> bytes:
    """8-bit grey PNG of class ids."""
    return encode_png(result.label, flat=True)


def mask_png(result: Result) -> bytes:
    """RGB PNG in the palette's colours."""
    return encode_mask(result.label, result.classes)


def overlay_png(result: Result) -> bytes:
    """RGB PNG of the frame, half covered by the mask."""
    return encode_png(np.asarray(result.overlay()), _FAST)


def probabilities_npy(result: Result) -> bytes:
    """An npy file of float32 (C, H, W)."""
    file = io.BytesIO()
    np.save(file, result.probabilities)
    return file.getvalue()


def confidence(result: Result) -> NDArray[np.uint8]:
    """uint8 H×W: the probability of each pixel's class, 255 = 1.

    It is the largest of `Result.probabilities`, made of one class at a time.
    """
    height, width = result.image.shape[:2]
    planes = [
        np.ascontiguousarray(plane, np.float32) for plane in as_array(result.logits)
    ]  # (h, w) each

    def enlarged(plane: NDArray[np.float32]) -> NDArray[np.float32]:
        return cv2.resize(plane, (width, height), interpolation=cv2.INTER_LINEAR)  # (H, W)

    best = enlarged(planes[0])
    for plane in planes[1:]:
        cv2.max(best, enlarged(plane), dst=best)
    total = np.zeros_like(best)
    for plane in planes:
        total += cv2.exp(enlarged(plane) - best)
    return cv2.convertScaleAbs(1 / total, alpha=255)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
