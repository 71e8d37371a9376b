"""A frame of any size comes back as a label, probabilities and an overlay of that size."""

from __future__ import annotations

import base64
import io
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from dashseg.config import InputConfig, ModelConfig
from dashseg.errors import InputError
from dashseg.inference import Segmenter, load
from dashseg.inference.torch_runtime import TorchRuntime
from dashseg.labels import Classes
from dashseg.models import DeepLabV3

Array = NDArray[np.uint8]
PALETTE = np.array(  # comma10k's five colours
    [[0x40, 0x20, 0x20], [0xFF, 0, 0], [0x80, 0x80, 0x60], [0, 0xFF, 0x66], [0xCC, 0, 0xFF]]
)


def bilinear(values: NDArray[np.floating], size: tuple[int, int]) -> NDArray[np.float64]:
    """(C, h, w) -> (C, H, W) in NumPy: half-pixel centres, edges repeated."""
    out = values.astype(np.float64)
    for axis, new in ((1, size[0]), (2, size[1])):
        old = out.shape[axis]
        at = ((np.arange(new) + 0.5) * old / new - 0.5).clip(0, old - 1)
        low = np.floor(at).astype(int)
        high = np.minimum(low + 1, old - 1)
        share = (at - low).reshape((-1, 1) if axis == 1 else -1)
        out = out.take(low, axis) * (1 - share) + out.take(high, axis) * share
    return out


class PassesOn(DeepLabV3):
    def __init__(self) -> None:
        nn.Module.__init__(self)  # it has no layers

    def coarse_logits(self, image: torch.Tensor) -> torch.Tensor:
        return image


def passing_on(**options: Any) -> Segmenter:
    """A segmenter whose logits are its network's input: what that is can be read off."""
    classes = Classes(("r", "g", "b"), ((255, 0, 0), (0, 255, 0), (0, 0, 255)))
    config = ModelConfig(input=InputConfig(**options), num_classes=3)
    return Segmenter(TorchRuntime(PassesOn(), config), config.input, classes, "identity")


def mean_of_views(segmenter: Segmenter, frame: Array, size: tuple[int, int]) -> NDArray[np.float64]:
    """Probabilities at the working size, averaged over the frame and its mirror."""
    views = (segmenter.logits(np.ascontiguousarray(frame[:, ::step])) for step in (1, -1))
    straight, mirrored = (np.exp(bilinear(view.numpy(), size)) for view in views)
    return (straight / straight.sum(0) + (mirrored / mirrored.sum(0))[..., ::-1]) / 2


def test_the_label_is_the_argmax_of_bilinear_logits(segmenter: Segmenter, frame: Array) -> None:
    result = segmenter(frame)
    full = bilinear(np.asarray(result.logits), (40, 56))
    second, first = np.sort(full, 0)[-2:]
    clear = first - second > 1e-4  # elsewhere rounding decides
    assert result.logits.shape == (5, 9, 13)  # of 36×50, at the decoder's stride of 4
    assert result.label.shape == (40, 56) and result.label.dtype == np.uint8
    assert clear.mean() > 0.9
    assert np.array_equal(result.label[clear], full.argmax(0)[clear])
    assert len(np.unique(result.label)) >= 3  # or the test could not fail


def test_probabilities_sum_to_one_at_the_frames_size(segmenter: Segmenter, frame: Array) -> None:
    result = segmenter(frame)
    assert result.probabilities.shape == (5, 40, 56)
    assert result.probabilities.dtype == np.float32
    assert np.allclose(result.probabilities.sum(0), 1, atol=1e-5)
    full = np.exp(bilinear(np.asarray(result.logits), (40, 56)))
    assert np.allclose(result.probabilities, full / full.sum(0), atol=1e-5)


def test_a_path_a_picture_and_an_array_are_the_same_frame(
    segmenter: Segmenter, frame: Array, tmp_path: Path
) -> None:
    picture = PIL.Image.fromarray(frame)
    picture.save(tmp_path / "frame.png")
    expected = segmenter(frame).logits
    for same in (tmp_path / "frame.png", str(tmp_path / "frame.png"), picture):
        assert np.array_equal(segmenter(same).logits, expected)
    assert np.array_equal(segmenter(picture.convert("RGBA")).logits, expected)


def test_a_view_of_an_array_is_a_frame(segmenter: Segmenter, frame: Array) -> None:
    bgr = np.ascontiguousarray(frame[..., ::-1])
    assert np.array_equal(segmenter(bgr[..., ::-1]).logits, segmenter(frame).logits)


def test_a_result_keeps_its_frame_when_the_next_is_read_into_the_same_array(
    segmenter: Segmenter, frame: Array
) -> None:
    shared = frame.copy()
    result = segmenter(shared)
    shared[:] = 0
    assert np.array_equal(np.asarray(result.overlay(0)), frame)


def test_a_read_only_array_is_a_frame_like_any_other(frame: Array) -> None:
    frame.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert passing_on(size=None)(frame).logits.shape == (3, 40, 56)


def test_the_mask_is_in_the_palette(segmenter: Segmenter, frame: Array) -> None:
    result = segmenter(frame)
    assert result.mask().mode == "RGB"
    assert np.array_equal(np.asarray(result.mask()), PALETTE[result.label])


def test_the_overlay_goes_from_the_frame_to_the_mask(segmenter: Segmenter, frame: Array) -> None:
    result = segmenter(frame)
    assert np.array_equal(np.asarray(result.overlay(0)), frame)
    assert np.array_equal(np.asarray(result.overlay(1)), PALETTE[result.label])
    half = (frame.astype(float) + PALETTE[result.label]) / 2
    assert np.abs(np.array(result.overlay(), float) - half).max() <= 1


@pytest.mark.parametrize("channels", ["rgb", "bgr"])
def test_the_network_sees_the_frame_normalised(frame: Array, channels: str) -> None:
    mean, std = np.array([0.1, 0.5, 0.7]), np.array([0.2, 0.3, 0.4])
    segmenter = passing_on(size=None, channels=channels, mean=[*mean], std=[*std])
    seen = frame if channels == "rgb" else frame[..., ::-1]
    expected = ((seen / 255 - mean) / std).transpose(2, 0, 1)
    assert np.allclose(segmenter(frame).logits, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({"size": (36, 64)}, (36, 50)),  # 0.9 of 40×56: its height fills the input
        ({"size": (64, 42)}, (32, 42)),  # 0.75 of it makes 30 rows, and 32 is the least
        ({"size": (80, 112)}, (80, 112)),
        ({"size": (36, 64), "resize": "squash"}, (36, 64)),
        ({"size": None}, (40, 56)),
    ],
)
def test_the_network_sees_the_frame_at_the_recipes_size(
    frame: Array, options: dict[str, Any], size: tuple[int, int]
) -> None:
    result = passing_on(**options)(frame)
    assert result.logits.shape == (3, *size)
    assert result.label.shape == (40, 56)


@pytest.mark.parametrize("size", [(1, 1), (5, 200), (200, 5), (437, 582)])
def test_frames_of_any_size_are_segmented(segmenter: Segmenter, size: tuple[int, int]) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    assert segmenter(frame).label.shape == size


def with_tta(segmenter: Segmenter, *tta: str) -> Segmenter:
    return Segmenter(segmenter.runtime, segmenter.input, segmenter.classes, "tta", tta=tta)


def test_with_flip_a_mirrored_frame_has_the_mirrored_label(segmenter: Segmenter) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (36, 64, 3), np.uint8)
    mirror = np.ascontiguousarray(frame[:, ::-1])
    flipping = with_tta(segmenter, "flip")
    straight, mirrored = flipping(frame).probabilities, flipping(mirror).probabilities
    assert np.allclose(mirrored[..., ::-1], straight, atol=1e-5)
    plain = segmenter(mirror).probabilities[..., ::-1]
    assert not np.allclose(plain, segmenter(frame).probabilities, atol=1e-2)


def test_flip_averages_probabilities(segmenter: Segmenter, frame: Array) -> None:
    logits = with_tta(segmenter, "flip").logits(frame)
    assert logits.shape == (5, 36, 50)  # 0.9 of 40×56
    assert np.allclose(logits.softmax(0), mean_of_views(segmenter, frame, (36, 50)), atol=1e-5)
    assert np.allclose(logits.exp().sum(0), 1, atol=1e-5)


@pytest.mark.parametrize(("tta", "views"), [(("multiscale",), 1), (("flip", "multiscale"), 2)])
def test_multiscale_looks_at_three_sizes(
    segmenter: Segmenter, tta: tuple[str, ...], views: int
) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (72, 128, 3), np.uint8)
    seen: list[tuple[int, ...]] = []
    hook = segmenter.network.get_submodule("encoder").register_forward_pre_hook(
        lambda _, inputs: seen.append(tuple(inputs[0].shape[2:]))
    )
    result = with_tta(segmenter, *tta)(frame)
    hook.remove()
    assert sorted({*seen}) == [(32, 48), (36, 64), (45, 80)]  # 27 rows would be below the least
    assert len(seen) == 3 * views
    assert result.logits.shape == (5, 36, 64)
    assert np.allclose(result.probabilities.sum(0), 1, atol=1e-5)
    assert not np.allclose(result.probabilities, segmenter(frame).probabilities, atol=1e-3)


def test_an_unknown_augmentation_is_an_error_that_lists_the_known(model_directory: Path) -> None:
    with pytest.raises(InputError, match="'rotate': choose of flip, multiscale"):
        load(model_directory, device="cpu", tta=["rotate"])


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        (np.zeros((40, 56, 3)), r"float64 \(40, 56, 3\): samples; .* Convert it first"),
        (np.zeros((40, 56, 2), np.uint8), r"uint8 \(40, 56, 2\)"),
        (np.zeros((2, 40, 56, 3), np.uint8), r"uint8 \(2, 40, 56, 3\)"),
        (np.zeros((0, 56, 3), np.uint8), r"uint8 \(0, 56, 3\)"),
        (b"png", "bytes"),
        (None, "NoneType"),
    ],
)
def test_what_is_no_frame_is_an_error_that_says_so(
    segmenter: Segmenter, wrong: Any, what: str
) -> None:
    with pytest.raises(InputError, match=f"a frame is a path, .* array, not {what}$"):
        segmenter(wrong)


def test_a_grey_or_turned_frame_gives_the_same_by_every_way_in(
    segmenter: Segmenter, tmp_path: Path
) -> None:
    grey = np.random.default_rng(0).integers(0, 256, (40, 56), np.uint8)
    exif = PIL.Image.Exif()
    exif[0x112] = 6  # turn it by a quarter to the right
    PIL.Image.fromarray(grey).save(tmp_path / "a.png", exif=exif)
    upright = np.ascontiguousarray(np.rot90(grey, -1))
    rgb = np.dstack([upright] * 3)
    expected = segmenter(rgb).label
    assert expected.shape == (56, 40)
    for frame in (upright, tmp_path / "a.png", PIL.Image.open(tmp_path / "a.png")):
        result = segmenter(frame)
        assert np.array_equal(result.image, rgb)
        assert np.array_equal(result.label, expected)


def test_an_unreadable_path_is_an_error_that_names_it(segmenter: Segmenter, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.png: cannot be read"):
        segmenter(tmp_path / "gone.png")


def test_probabilities_are_computed_once(segmenter: Segmenter, frame: Array) -> None:
    result = segmenter(frame)
    assert result.probabilities is result.probabilities


def test_a_result_names_its_size_and_what_it_sees_most_first(
    segmenter: Segmenter, frame: Array
) -> None:
    result = segmenter(frame)
    counts = np.bincount(result.label.ravel(), minlength=5)
    assert [*result.shares.values()] == pytest.approx(counts / counts.sum())
    most = segmenter.classes.names[counts.argmax()]
    assert repr(result).startswith(f"Result(40×56: {most} {counts.max() / counts.sum():.1%}, ")


def test_a_notebook_shows_the_overlay_and_a_legend(segmenter: Segmenter, frame: Array) -> None:
    large = frame.repeat(50, 0).repeat(50, 1)  # 2000×2800
    names = ("road", "<b>", "undrivable", "movable", "my car")
    classes = Classes(names, segmenter.classes.colours)
    renamed = Segmenter(segmenter.runtime, segmenter.input, classes, "renamed")
    shown = renamed(large)._repr_html_()
    found = re.search(r'src="data:image/jpeg;base64,([^"]+)"', shown)
    assert found is not None
    picture = PIL.Image.open(io.BytesIO(base64.b64decode(found[1])))
    assert picture.size == (960, 686)
    assert "color:rgb(64, 32, 32)" in shown and "road " in shown
    assert "<b>" not in shown  # or a class's name could bring a tag in
