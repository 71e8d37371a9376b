"""The table of runtimes: which file each one runs, and how that file is opened and written.

Loading, export and bench all read it. To add a runtime, write its module (as `onnx_runtime.py`) and
add it here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dashseg.inference.description import Description, Foreign
from dashseg.inference.model_directory import write_model_directory
from dashseg.inference.onnx_runtime import open_onnx, write_onnx
from dashseg.inference.openvino_export import write_openvino
from dashseg.inference.openvino_runtime import open_openvino, open_queue
from dashseg.inference.runtime import Batch, Runtime
from dashseg.run_directory import CONFIG, WEIGHTS

if TYPE_CHECKING:
    from dashseg.inference.segmenter import Segmenter

Size = tuple[int, int]


@dataclass(frozen=True)
class Format:
    """What a network can be written as, and the library that then runs it.

    Args:
        runtime: the library, as `Runtime.name`.
        file: the file that an export folder is known by.
        weights: that file -> the file that holds its weights, which may be the same.
        precisions: what export can write.
        open: (file, device, what the user says of a file that dashseg did not export, whether it
            is for many frames) -> what runs it.
        write: (trained model, description, fixed size or None, frames to calibrate on, path of
            `file`) -> what export.json says of it.
        benched: the precisions that bench measures.
        foreign: whether `open` also takes files that dashseg did not export.
        fixed_size: the precisions whose files take frames of one size only.
        queue: file -> a function of a frame (1, h, w, 3) and seconds, which keeps many requests
            running for that long and returns frames/s. None: the library has no such queue.
    """

    runtime: str
    file: str
    weights: Callable[[Path], Path]
    precisions: tuple[str, ...]
    open: Callable[[Path, str, Foreign | None, bool], tuple[Runtime, Description]]
    write: Callable[[Segmenter, Description, Size | None, Sequence[Batch], Path], dict[str, Any]]
    benched: tuple[str, ...] = ()
    foreign: bool = False
    fixed_size: tuple[str, ...] = ()
    queue: Callable[[Path], Callable[[Batch, float], float]] | None = None

    @property
    def suffix(self) -> str:
        """Of `file`, by which a renamed one is still known."""
        return Path(self.file).suffix


def _open_torch(
    path: Path, device: str, foreign: Foreign | None = None, many: bool = False
) -> tuple[Runtime, Description]:
    from dashseg.inference.torch_runtime import open_torch  # PyTorch, which exports do without

    return open_torch(path.parent, device)


FORMATS = {
    "onnx": Format(
        runtime="onnxruntime",
        file="model.onnx",
        weights=lambda path: path,
        precisions=("fp32", "fp16", "int8"),
        open=open_onnx,
        write=write_onnx,
        benched=("fp32", "int8"),
        foreign=True,
    ),
    "openvino": Format(
        runtime="openvino",
        file="model.xml",
        weights=lambda path: path.with_suffix(".bin"),
        precisions=("fp32", "fp16", "int8"),
        open=open_openvino,
        write=write_openvino,
        benched=("fp32", "fp16", "int8"),
        # Measured with 2026.4.1, labels against PyTorch's: where height and width are free they
        # agree on 44 % of pixels on a processor with AVX2 and on 86 % on one with AMX, where they
        # are fixed on 99.6 and 99.8 %. The batch may be free.
        fixed_size=("int8",),
        queue=open_queue,
    ),
    # A model directory: PyTorch's own program files (.pt2) are pickles, which run code on load.
    "torch": Format(
        runtime="torch",
        file=CONFIG,
        weights=lambda path: path.with_name(WEIGHTS),
        precisions=("fp32", "fp16"),
        open=_open_torch,
        write=write_model_directory,
    ),
}
PRECISIONS = tuple(dict.fromkeys(name for form in FORMATS.values() for name in form.precisions))
EXPORTED = {name: form for name, form in FORMATS.items() if name != "torch"}  # one file runs alone


def format_of(path: Path) -> Format:
    """The format of a file that `exported_file` found, or of a model directory's config.json."""
    return next(form for form in FORMATS.values() if form.suffix == path.suffix)
