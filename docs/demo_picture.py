"""Makes docs/demo.jpg from what `make demo` left: frame, label, prediction and differences.

.venv/bin/python docs/demo_picture.py
"""

from pathlib import Path

import numpy as np

import dashseg
from dashseg.config import DataConfig
from dashseg.data import open_dataset
from dashseg.images import encode_jpeg, resize_image
from dashseg.labels import encode_label

ROOT = Path(__file__).parents[1]
SHOWN = (0, 1, 2)  # of the held-out scenes
SIZE = (246, 328)  # of each picture


def main() -> None:
    segment = dashseg.load(str(ROOT / "demo/runs/demo"))
    scenes = open_dataset(DataConfig(root=str(ROOT / "demo/scenes")), "val")
    rows = []
    for index in SHOWN:
        image, label, _ = scenes[index]
        result = segment(image)
        wrong = np.where((result.label != label)[..., None], (230, 30, 30), image // 3)
        mask = encode_label(label, scenes.classes)
        pictures = (image, mask, np.asarray(result.mask()), wrong.astype(np.uint8))
        rows.append(np.hstack([resize_image(np.ascontiguousarray(p), SIZE) for p in pictures]))
    (ROOT / "docs/demo.jpg").write_bytes(encode_jpeg(np.vstack(rows), quality=85))


if __name__ == "__main__":
    main()
