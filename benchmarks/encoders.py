"""timm's encoders in the whole network: size, arithmetic, agreement of exports, time on the CPU.

    python benchmarks/encoders.py [--only NAME ...] [--size 224x288] [--frames 24]
    python benchmarks/encoders.py --smoke

Every encoder gets the gradual decoder and random weights; the output stride is 32, and 16 for plain
ViTs. Prints a table in Markdown: parameters and multiply-adds of the encoder; the largest
difference of the logits from PyTorch's, over their largest value, in ONNX Runtime and OpenVINO; the
share of pixels whose label changes in OpenVINO INT8; and the time of a frame in OpenVINO as a
multiple of recipe half's ResNet-18 at output stride 8 (INT8 over INT8, FP32 over FP32), the two in
turn. Random weights make INT8's labels a hard test: no class is clear. Frames are drawn scenes.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import arguments, seconds

from dashseg.config import DecoderConfig, EncoderConfig, InputConfig, ModelConfig, load_recipe
from dashseg.data.synthetic import open_scenes
from dashseg.inference import Segmenter, load, save_model
from dashseg.inference.calibration import Frames
from dashseg.inference.export import ExportPlan, export_model
from dashseg.inference.upsampling import label_at
from dashseg.input_size import to_working_size
from dashseg.labels import COMMA10K
from dashseg.models import build_model
from dashseg.models.encoder_list import encoder_cost

ENCODERS = [
    "mobilenetv4_conv_small", "mobilenetv4_conv_medium", "hgnetv2_b0", "hgnetv2_b1",
    "convnext_atto", "efficientnet_b0", "efficientnet_b2", "regnety_004", "resnet18",
    "pvt_v2_b0", "vit_small_patch14_dinov2",
]  # fmt: skip
SMOKE = ["resnet18"]  # the one that all are compared with, at half width
HEADER = (
    "| encoder | parameters, million | multiply-adds, billion | ONNX | OpenVINO |"
    " labels changed in INT8 | time, FP32 | time, INT8 |\n" + "| --- " + "| ---: " * 7 + "|"
)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="timm's names")
    parser.add_argument("--size", default="224x288", help="HxW of the network's input")
    parser.add_argument("--frames", type=int, default=24, help="drawn scenes to calibrate on")
    options = parser.parse_args()
    names = SMOKE if options.smoke else [f"timm/{name}" for name in options.only or ENCODERS]
    height, width = (64, 96) if options.smoke else map(int, options.size.split("x"))
    rounds = 2 if options.smoke else 15
    rule = InputConfig(size=(height, width), resize="squash")
    scenes = open_scenes(f"synthetic:{4 if options.smoke else options.frames}:1")
    drawn = [to_working_size(scenes[index].image, rule) for index in range(len(scenes))]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        thin = ["model.encoder.width=0.125", "model.aspp.channels=8"] if options.smoke else []
        standard = load_recipe("comma10k-half", thin).model.model_copy(update={"input": rule})
        reference = Exported(standard, folder / "reference", drawn)
        print(HEADER, flush=True)
        for name in names:
            stride: Any = 16 if name.startswith("timm/vit") else 32
            config = ModelConfig(
                input=rule,
                encoder=EncoderConfig(name=name, output_stride=stride),
                decoder=DecoderConfig(name="gradual"),
            )
            tested = reference if options.smoke else Exported(config, folder / name, drawn)
            print(row(name, tested, reference, rounds), flush=True)


class Exported:
    """A network with random weights and its three exports of one size."""

    def __init__(self, config: ModelConfig, folder: Path, frames: list[Any]) -> None:
        torch.manual_seed(0)
        self.frames = frames
        network = build_model(config).train()
        with torch.no_grad():  # norms get the statistics of frames: else deep networks fade out
            mean, std = (
                torch.tensor(x).view(1, 3, 1, 1) for x in (config.input.mean, config.input.std)
            )
            images = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2) / 255
            for _ in range(3):
                for index in range(0, len(images), 8):
                    network((images[index : index + 8] - mean) / std)
        save_model(folder / "model", network.state_dict(), config, COMMA10K)
        self.torch = load(folder / "model", device="cpu")
        given = Frames(lambda index: frames[index], len(frames))
        self.exports: dict[str, Segmenter] = {}
        for format, precision in (("onnx", "fp32"), ("openvino", "fp32"), ("openvino", "int8")):
            plan = ExportPlan(format, precision, config.input.size)
            out = folder / f"{format}-{precision}"
            calibration = given if precision == "int8" else None
            export_model(self.torch, out, plan, calibration=calibration)
            self.exports[f"{format}-{precision}"] = load(out, device="cpu")

    def seconds(self, export: str) -> float:
        """Of one frame."""
        frame = self.frames[0][None]
        return seconds(lambda: self.exports[export].runtime(frame))

    def difference(self, export: str) -> float:
        """The largest of the logits', over their largest value."""
        frame = self.frames[0][None]
        expected = np.asarray(self.torch.runtime(frame))
        found = np.asarray(self.exports[export].runtime(frame))
        return float(np.abs(found - expected).max() / np.abs(expected).max())

    def changed(self, export: str) -> float:
        """Share of pixels whose label is another one than PyTorch's."""
        shares = []
        for frame in self.frames[:8]:
            labels = [
                label_at(frame.shape[:2], torch.as_tensor(each.runtime(frame[None]))[0])
                for each in (self.torch, self.exports[export])
            ]
            shares.append(float((labels[0] != labels[1]).mean()))
        return statistics.mean(shares)


def row(name: str, tested: Exported, reference: Exported, rounds: int) -> str:
    """A line of the table."""
    assert tested.torch.config.input.size is not None
    cost = encoder_cost(name, tested.torch.config.input.size)
    assert cost.parameters is not None and cost.multiply_adds is not None
    times = {}
    for export in ("openvino-fp32", "openvino-int8"):
        ratios = []
        for _ in range(rounds):
            ours, theirs = (each.seconds(export) for each in (tested, reference))
            ratios.append(ours / theirs)
        times[export] = statistics.median(ratios)
    return (
        f"| {name} | {cost.parameters / 1e6:.2f} | {cost.multiply_adds / 1e9:.2f}"
        f" | {tested.difference('onnx-fp32'):.0e} | {tested.difference('openvino-fp32'):.0e}"
        f" | {tested.changed('openvino-int8'):.1%}"
        f" | {times['openvino-fp32']:.2f} | {times['openvino-int8']:.2f} |"
    )


if __name__ == "__main__":
    main()
