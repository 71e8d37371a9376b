"""The device's arithmetic against the CPU's in double precision: network, losses, augmentation."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch

from dashseg import open_dataset
from dashseg.config import AugmentConfig, LossConfig, load_recipe
from dashseg.inference import load
from dashseg.inference.torch_runtime import AGREEMENT, TorchRuntime
from dashseg.inference.upsampling import label_at
from dashseg.labels import COMMA10K, IGNORE
from dashseg.models import build_model
from dashseg.training.augment import Augment, Draws
from dashseg.training.losses import build_loss
from dashseg.training.objective import Objective
from gpu_parts.bench import RECIPES, Bench, apart, full_float32, same_draws

# Relative errors ‖x − reference‖ / ‖reference‖ that pass; float32 has an epsilon of 6e-8.
LOGITS, LOSS, GRADIENT = 1e-4, 1e-5, 1e-3
NETWORK = 1e-2  # of a network's gradients: on a CPU float32 is 1e-3 off, some ReLUs turn over
TF32 = 1e-2  # of logits; TF32 has ten bits
SAME_PIXELS = 0.9995  # labels and images after augmentation: places on an edge may round otherwise

TERMS: dict[str, dict[str, Any]] = {
    "cross_entropy": {"terms": [{"name": "cross_entropy"}]},
    "cross_entropy, smoothed": {"terms": [{"name": "cross_entropy"}], "label_smoothing": 0.1},
    "ohem": {"terms": [{"name": "ohem"}]},
    "focal": {"terms": [{"name": "focal"}]},
    "lovasz": {"terms": [{"name": "lovasz"}]},
    "dice": {"terms": [{"name": "dice"}]},
    "all": {"terms": [{"name": n, "weight": 0.5} for n in ("ohem", "focal", "lovasz", "dice")]},
}
AUGMENTATIONS: dict[str, dict[str, Any]] = {
    "flip": {"flip": 0.5}, "crop": {"crop": (64, 96)}, "scale": {"scale": (0.5, 2)},
    "rotate": {"rotate": 10}, "distort": {"distort": {"share": 1}},
    "dropout": {"dropout": {"share": 1}}, "brightness": {"brightness": 0.3},
    "contrast": {"contrast": 0.3}, "saturation": {"saturation": 0.3}, "hue": {"hue": 0.1},
    "gamma": {"gamma": (0.7, 1.5)}, "noise": {"noise": 0.05}, "blur": {"blur": 0.5},
    "bonnet": {"bonnet": 1}, "night": {"night": {"share": 1}}, "rain": {"rain": {"share": 1}},
    "fog": {"fog": {"share": 1}},
}  # fmt: skip


def network(bench: Bench) -> None:
    """Logits and gradients of networks, and labels in every precision."""
    for name in ("comma10k-half", "real-time"):
        with bench.attempt(f"{name}, gradients"):
            compare_network(bench, name)
    with bench.attempt("labels"):
        compare_labels(bench)


def compare_network(bench: Bench, name: str) -> None:
    recipe = bench.recipe(name, "model.aspp.dropout=0")
    torch.manual_seed(0)
    made = Objective(build_model(recipe.model), recipe.loss, 5).train()
    size = (64, 96) if bench.smoke else (218, 290)
    image = torch.randn(2, 3, *size)
    label = blocks(2, size)

    def run(device: torch.device, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor, Any]:
        objective = copy.deepcopy(made).to(device, dtype)
        objective.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        logits = objective.network.coarse_logits(image.to(device, dtype))
        loss = objective(image.to(device, dtype), label.to(device))
        torch.autograd.backward(loss)
        gradients = [
            p.grad.flatten().double().cpu() for p in objective.parameters() if p.grad is not None
        ]
        return logits, loss, torch.cat(gradients)

    expected = run(torch.device("cpu"), torch.float64)
    with full_float32():
        found = run(bench.device, torch.float32)
    for what, ours, theirs, most in zip(
        ("logits", "loss", "gradients"), found, expected, (LOGITS, LOSS, NETWORK), strict=True
    ):
        error = apart(ours, theirs)
        bench.check(f"{name}, {what}, float32", error <= most, f"{error:.1e}, at most {most:.0e}")
    if bench.on_gpu:
        error = apart(run(bench.device, torch.float32)[0], expected[0])
        bench.check(f"{name}, logits, TF32", error <= TF32, f"{error:.1e}, at most {TF32:.0e}")


def compare_labels(bench: Bench) -> None:
    """Of `small` on drawn scenes: shares of pixels with the class that the CPU sees in float32."""
    dataset = open_dataset(str(bench.scenes()), split="all")
    count = 2 if bench.smoke else 16
    images = [dataset[index].image for index in range(count)]
    cpu = load("small", device="cpu")
    expected = [cpu(image).label for image in images]

    def labels(half: torch.dtype | None, layout: bool = True) -> list[Any]:
        segmenter = load("small", device=bench.device.type)
        runtime = TorchRuntime(
            segmenter.network, segmenter.config, bench.device.type, channels_last=layout
        )
        runtime.half = half
        segmenter.runtime = runtime
        return [result.label for result in segmenter.many(images, batch_size=4)]

    with full_float32():
        whole = labels(None)
        ways = {"float32": whole, "float32, planes": labels(None, layout=False)}
    ways |= {"TF32": labels(None), "float16": labels(torch.float16),
             "bfloat16": labels(torch.bfloat16)}  # fmt: skip
    for name, found in ways.items():
        reference = expected if name.startswith("float32") else whole
        same = float(
            np.mean([np.equal(a, b).mean() for a, b in zip(found, reference, strict=True)])
        )
        bench.figure(f"labels, {name}", same)
        least = AGREEMENT if "16" in name else 0.9999
        if name != "bfloat16":  # it need not: float16 is what `half` means
            bench.check(f"labels, {name}", same >= least, f"{same:.5f}, at least {least}")
    segmenter = load("small", device=bench.device.type, half=True)
    segmenter(images[0])
    used = segmenter.runtime.half  # type: ignore[attr-defined]
    wanted = torch.float16 if bench.on_gpu else None
    bench.check("load(half=True)", used is wanted, f"computes in {used or torch.float32}")
    logits = cpu.logits(images[0])
    label = label_at((images[0].shape[0], images[0].shape[1]), logits.to(bench.device))
    same = float(np.equal(label, expected[0]).mean())
    bench.check("label made on the device", same >= 0.99999, f"{same:.6f} as on the CPU")


def losses(bench: Bench) -> None:
    """Value and gradient of every loss, with ignored pixels, with and without class weights."""
    coarse, size = ((16, 24), (61, 93)) if bench.smoke else ((110, 146), (437, 582))
    label = blocks(4, size)
    logits = 3 * torch.randn(4, 5, *coarse, generator=torch.Generator().manual_seed(1))
    for name, settings in TERMS.items():
        for weights in (None, [1.0, 4, 1, 2, 0]):
            title = name if weights is None else f"{name}, weighted"
            with bench.attempt(title):
                loss = build_loss(LossConfig.model_validate(settings), weights)

                def run(device: torch.device, dtype: torch.dtype, loss: Any = loss) -> Any:
                    leaf = logits.to(device, dtype).requires_grad_()
                    value = copy.deepcopy(loss).to(device, dtype)(leaf, label.to(device))
                    return value, torch.autograd.grad(value, leaf)[0]

                expected = run(torch.device("cpu"), torch.float64)
                found = run(bench.device, torch.float32)
                errors = [apart(a, b) for a, b in zip(found, expected, strict=True)]
                ok = errors[0] <= LOSS and errors[1] <= GRADIENT
                bench.check(title, ok, f"value {errors[0]:.1e}, gradient {errors[1]:.1e}, at most"
                            f" {LOSS:.0e} and {GRADIENT:.0e}")  # fmt: skip


def augmentation(bench: Bench) -> None:
    """One batch by every augmentation, and by every recipe's, on the device and on the CPU."""
    same_draws()
    frames = [open_dataset(str(bench.scenes()), split="all")[i] for i in range(8)]
    image = torch.stack([torch.from_numpy(f.image) for f in frames]).permute(0, 3, 1, 2)
    label = torch.stack([torch.from_numpy(f.label) for f in frames]).long()
    label[::2][label[::2] == COMMA10K.names.index("my car")] = 2  # half of them get a bonnet
    recipes = {f"recipe {name}": load_recipe(name).augment for name in RECIPES}
    settings = {name: AugmentConfig.model_validate(v) for name, v in AUGMENTATIONS.items()}
    for name, config in (settings | recipes).items():
        with bench.attempt(name):
            if bench.smoke and config.crop is not None:
                config = config.model_copy(update={"crop": (64, 96)})
            augment = Augment(config, (0.5, 0.5, 0.5))

            def run(device: torch.device, augment: Augment = augment) -> Any:
                draws = Draws.of_batch((3,), range(len(image)))
                return [x.cpu() for x in augment(image.to(device), label.to(device), draws)]

            with full_float32():
                (ours, ids), (theirs, true) = run(bench.device), run(torch.device("cpu"))
            close = float(((ours - theirs).abs() < 1).float().mean())  # of 255
            same = float((ids == true).float().mean())
            bench.check(name, min(close, same) >= SAME_PIXELS,
                        f"{close:.5f} of the values within 1 of 255, {same:.5f} of the label the"
                        f" same, at least {SAME_PIXELS}")  # fmt: skip


def blocks(count: int, size: tuple[int, int]) -> torch.Tensor:
    """int64 (count, H, W): blocks of five classes and of ignored pixels."""
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 6, (count, -(-size[0] // 16), -(-size[1] // 16)))
    ids = np.where(ids == 5, IGNORE, ids).repeat(16, 1).repeat(16, 2)
    return torch.from_numpy(ids[:, : size[0], : size[1]].copy())
