"""Frame, label and prediction -> the pictures that the report shows."""

from __future__ import annotations

import cv2
import numpy as np

from dashseg.images import encode_jpeg, fitting_size, resize_image, resize_label
from dashseg.labels import IGNORE, Classes, Image, Label, encode_mask

_WRONG = (255, 64, 160)  # a pink that neither comma10k's palette nor a road has


def difference(image: Image, label: Label, prediction: Label) -> Image:
    """Where label and prediction differ: pink on the frame in dark grey, black where ignored.

    Args:
        image: uint8 H×W×3 RGB.
        label: uint8 H×W, 255 = ignore.
        prediction: uint8 H×W.

    Returns:
        uint8 H×W×3 RGB.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    picture = np.stack([grey // 2] * 3, axis=2, dtype=np.uint8)
    picture[label != prediction] = _WRONG
    picture[label == IGNORE] = 0
    return picture


def encode_pictures(
    image: Image, label: Label, prediction: Label, classes: Classes
) -> dict[str, bytes]:
    """The four pictures of an example as files: name -> bytes, as wide as `fitting_size` says.

    Args:
        image: uint8 H×W×3 RGB.
        label: uint8 H×W, 255 = ignore.
        prediction: uint8 H×W.
    """
    size = fitting_size(*label.shape)
    differs = difference(image, label, prediction)
    return {
        "frame.jpg": encode_jpeg(resize_image(image, size), quality=85),
        "label.png": encode_mask(resize_label(label, size), classes),
        "prediction.png": encode_mask(resize_label(prediction, size), classes),
        "difference.jpg": encode_jpeg(resize_image(differs, size), quality=85),
    }
