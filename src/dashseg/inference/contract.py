"""README.md and example.py of an export folder: how to run the file without dashseg."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import dashseg
from dashseg.config import SMALLEST_SIDE, InputConfig
from dashseg.inference import example
from dashseg.inference.description import KEY, Description
from dashseg.inference.runtime import Runtime
from dashseg.labels import hex_colour

README = "README.md"
EXAMPLE = "example.py"
_TRIED = (64, 96)  # H, W of a frame to see the logits' size with, where the size is free


def write_contract(folder: Path, model: str, description: Description, runtime: Runtime) -> None:
    """Write README.md and example.py beside an ONNX or OpenVINO file.

    Args:
        model: the trained model's name.
        runtime: what runs the file.
    """
    height, width = runtime.size or _TRIED
    rows = runtime(np.zeros((1, height, width, 3), np.uint8)).shape[2]
    text = _readme(Path(model).name, description, runtime.name, runtime.size, round(height / rows))
    (folder / README).write_text(text, "utf-8")
    (folder / EXAMPLE).write_text(Path(example.__file__).read_text("utf-8"), "utf-8")


def _readme(
    model: str,
    description: Description,
    runtime: str,
    size: tuple[int, int] | None,
    stride: int,
) -> str:
    rule, classes = description.input, description.classes
    sides = f"{size[0]}, {size[1]}" if size else "h, w"
    entries = enumerate(zip(classes.names, classes.colours, strict=True))
    table = "\n".join(
        f"| {class_id} | {name} | `{hex_colour(colour)}` | {', '.join(map(str, colour))} |"
        for class_id, (name, colour) in entries
    )
    hint = (
        '\nSet `INFERENCE_PRECISION_HINT` to `"f32"`, as example.py does. Otherwise OpenVINO'
        "\ncomputes in bfloat16 where the processor can, and some labels differ.\n"
        if runtime == "openvino" and description.precision == "fp32"
        else ""
    )
    return f"""\
# {model}: semantic segmentation, {description.precision}, for {runtime}

Exported by dashseg {dashseg.__version__}. `{EXAMPLE}` runs it without dashseg or PyTorch:

```sh
pip install {runtime} numpy opencv-python-headless
python {EXAMPLE} frame.jpg mask.png
```
{hint}
## Input

| name | type | shape |
| --- | --- | --- |
| `image` | uint8 | (B, {sides}, 3) |

Frames in RGB, values 0 to 255, channels last. B, the number of frames, is free.

{_size_rule(rule)} Shrink by area average (OpenCV's
`INTER_AREA`), enlarge bilinearly (`INTER_LINEAR`).

## Inside the file

The normalisation is inside: `(image / 255 - mean) / std` with mean {_numbers(rule.mean)} and std
{_numbers(rule.std)} in {rule.channels.upper()} order. Give it frames as they are.

## Output

| name | type | shape |
| --- | --- | --- |
| `logits` | float32 | (B, {len(classes)}, ⌈h / {stride}⌉, ⌈w / {stride}⌉) |

The logits cover the whole frame, at 1/{stride} of the input's size. Softmax over the second axis
gives probabilities.

## From logits to a label

1. Enlarge the plane of each class to the frame's own size, bilinearly with pixel centres aligned:
   OpenCV's `INTER_LINEAR`, PyTorch's `align_corners=False`.
2. The label of a pixel is the class with the largest value; of equal ones the first.
3. The mask is the label in the classes' colours.

## Classes

| id | name | colour | R, G, B |
| --- | --- | --- | --- |
{table}

The same facts stand in the file, as JSON under the metadata key `{KEY}`, where `{EXAMPLE}` reads
them.
"""


def _size_rule(rule: InputConfig) -> str:
    least = f"No side is below {SMALLEST_SIDE}."
    if rule.size is None:
        return f"Frames go in at their own size. {least}"
    size = f"{rule.size[0]}×{rule.size[1]} (height × width)"
    if rule.resize == "squash":
        return f"Resize each frame to {size}, whatever its aspect ratio."
    return f"Resize each frame to fit into {size}, with its aspect ratio. {least}"


def _numbers(values: tuple[float, ...]) -> str:
    return f"({', '.join(f'{value:g}' for value in values)})"
