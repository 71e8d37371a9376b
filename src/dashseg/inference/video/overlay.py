"""A label laid over a picture in the picture's own YUV, as decoders give it and encoders take it.

A blend of two colours is the same in YUV as in RGB, but for rounding: the picture need not go to
RGB and back, and has half as many values there.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from dashseg.inference.segmenter import Result
from dashseg.inference.video.pyav import load_av
from dashseg.inference.video.read import TimedFrame
from dashseg.labels import Classes, Image, Label

FORMAT = "yuv420p"  # 8 bits; U and V at half the height and width

Plane = NDArray[np.uint8]


def overlay(frame: TimedFrame, result: Result) -> Image | Any:
    """The frame, half covered by its label: an av.VideoFrame where it was decoded as `FORMAT`, else
    uint8 H×W×3 RGB."""
    picture = frame.decoded
    if picture is None or picture.format.name != FORMAT or picture.width % 2 or picture.height % 2:
        return np.asarray(result.overlay())
    return lay_over(picture, result.label, result.classes)


def lay_over(picture: Any, label: Label, classes: Classes) -> Any:
    """A new av.VideoFrame: half `picture`, half the label's colours.

    Args:
        picture: av.VideoFrame of `FORMAT` and even sides.
        label: uint8 H×W, of the picture's size.
    """
    out = load_av().VideoFrame(picture.width, picture.height, FORMAT)
    out.colorspace, out.color_range = picture.colorspace, picture.color_range
    tables = colours_in_yuv(classes, picture.colorspace, picture.color_range)
    for index, table in enumerate(tables):
        mask = cv2.LUT(label, table)
        source, target = plane(picture, index), plane(out, index)
        if mask.shape != source.shape:
            mask = cv2.resize(mask, source.shape[::-1], interpolation=cv2.INTER_AREA)
        cv2.addWeighted(source, 0.5, mask, 0.5, 0, dst=target)
    return out


def colours_in_yuv(classes: Classes, colorspace: int, color_range: int) -> NDArray[np.uint8]:
    """(3, 256): Y, U and V of each class's colour, by the matrix and range of a picture."""
    colours = np.zeros((2, 256, 3), np.uint8)
    colours[:, : len(classes)] = classes.colours
    frame = load_av().VideoFrame.from_ndarray(colours, format="rgb24")
    frame = frame.reformat(format="yuv444p", dst_colorspace=colorspace, dst_color_range=color_range)
    return np.stack([plane(frame, index)[0] for index in range(3)])


def plane(frame: Any, index: int) -> Plane:
    """uint8 (h, w): a view of one of a frame's planes."""
    part = frame.planes[index]
    lines = np.frombuffer(part, np.uint8).reshape(-1, part.line_size)
    return lines[: part.height, : part.width]
