"""Segment a picture with the model beside this file, without dashseg: example.py FRAME MASK.png

It needs NumPy, OpenCV, and onnxruntime (model.onnx) or openvino (model.xml). README.md beside it
says what goes in and what comes out.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

FOLDER = Path(__file__).parent


def open_model() -> tuple[dict[str, Any], Callable[[Any], Any]]:
    """What the file says of itself, and a function of frames (B, h, w, 3) that gives logits."""
    if (FOLDER / "model.onnx").is_file():
        import onnxruntime

        session = onnxruntime.InferenceSession(FOLDER / "model.onnx")
        about = json.loads(session.get_modelmeta().custom_metadata_map["dashseg"])
        return about, lambda frames: session.run(None, {"image": frames})[0]
    import openvino

    model = openvino.Core().read_model(FOLDER / "model.xml")
    about = json.loads(model.get_rt_info("dashseg").value)
    settings = {"INFERENCE_PRECISION_HINT": "f32"} if about["precision"] == "fp32" else {}
    compiled = openvino.compile_model(model, "CPU", settings)
    return about, lambda frames: compiled([frames])[0]


def to_working_size(frame: Any, rule: dict[str, Any]) -> Any:
    """The frame at the size that the network takes: stretched to it, or fitted into it."""
    height, width = frame.shape[:2]
    if rule["size"] is not None:
        tall, wide = rule["size"][0] / height, rule["size"][1] / width
        if rule["resize"] == "fit":
            tall = wide = min(tall, wide)
        height, width = max(32, round(height * tall)), max(32, round(width * wide))
    shrinks = height * width < frame.shape[0] * frame.shape[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(frame, (width, height), interpolation=how)


def segment(frame: Any, about: dict[str, Any], compute: Callable[[Any], Any]) -> Any:
    """uint8 (H, W, 3) RGB -> the class of each pixel, uint8 (H, W)."""
    logits = compute(to_working_size(frame, about["input"])[None])[0]  # (C, h, w)
    size = frame.shape[1], frame.shape[0]
    enlarged = [cv2.resize(plane, size, interpolation=cv2.INTER_LINEAR) for plane in logits]
    return np.argmax(enlarged, axis=0).astype(np.uint8)


if __name__ == "__main__":
    about, compute = open_model()
    picture: Any = cv2.imread(sys.argv[1])
    frame = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
    colours = np.array([entry["colour"] for entry in about["classes"]], np.uint8)
    mask = colours[segment(frame, about, compute)]
    cv2.imwrite(sys.argv[2], cv2.cvtColor(mask, cv2.COLOR_RGB2BGR))
