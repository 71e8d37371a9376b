"""Style transfer: what is taken of the references, what stays, and how it is repeated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dashseg.config import AugmentConfig, StyleConfig, load_recipe
from dashseg.errors import InputError
from dashseg.images import encode_png
from dashseg.scenes import render_scene
from dashseg.training.augment import Augment, Draws
from dashseg.training.augment.style import Style, low_frequencies, swap_amplitudes
from dashseg.training.plan import with_absolute_paths
from dashseg.training.run import train_run

MEAN = (0.485, 0.456, 0.406)


def _frames(count: int = 4, size: tuple[int, int] = (64, 96)) -> tuple[torch.Tensor, torch.Tensor]:
    scenes = [render_scene(2, index, size) for index in range(count)]
    image = torch.from_numpy(np.stack([scene.image for scene in scenes])).permute(0, 3, 1, 2)
    return image, torch.from_numpy(np.stack([scene.label for scene in scenes])).long()


def _draws(image: torch.Tensor, seed: int = 0) -> Draws:
    return Draws.of_batch((seed,), range(len(image)))


def _style(folder: Path, **changes: Any) -> StyleConfig:
    folder.mkdir(exist_ok=True)
    for index in range(3):
        scene = render_scene(9, index, (96, 128), varied=True)
        (folder / f"{index}.png").write_bytes(encode_png(scene.image))
    return StyleConfig(share=1, frames=(folder,)).model_copy(update=changes)


@pytest.mark.parametrize("size", [(48, 64), (33, 47)])
def test_low_frequencies_are_numpys(size: tuple[int, int]) -> None:
    image = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(1))
    ours = low_frequencies(image, 5).numpy()
    theirs = np.fft.fft2(image.numpy()) / (size[0] * size[1])
    rows = np.arange(-5, 6)
    assert np.allclose(ours, theirs[:, :, rows][..., :6], atol=1e-6)


@pytest.mark.parametrize("size", [(48, 64), (33, 47)])
def test_amplitudes_of_the_band_become_the_others_and_all_else_stays(size: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(1)
    image, other = torch.rand(2, 2, 3, *size, generator=generator)
    waves, strength = torch.tensor([2, 4]), torch.ones(2)
    changed = swap_amplitudes(image, low_frequencies(other, 4).abs(), strength, waves)
    before, after, theirs = (np.fft.fft2(x.double().numpy()) for x in (image, changed, other))
    down, across = (np.abs(np.fft.fftfreq(n, 1 / n)) for n in size)
    for frame in (0, 1):
        band = np.maximum(down[:, None], across) <= int(waves[frame])
        own, new, given = before[frame], after[frame], theirs[frame]
        assert np.allclose(np.abs(new)[:, band], np.abs(given)[:, band], atol=2e-3)
        assert np.allclose((new * own.conj())[:, band].imag, 0, atol=0.5)  # phases stay
        assert np.allclose(new[:, ~band], own[:, ~band], atol=2e-3)


def test_colour_takes_mean_and_deviation_of_brightness(tmp_path: Path) -> None:
    from PIL import Image

    y, x = np.mgrid[:64, :64]
    grey = (100 + 20 * ((x + y) % 2)).astype(np.uint8)
    Image.fromarray(np.repeat(grey[..., None], 3, 2)).resize((256, 256), 0).save(tmp_path / "r.png")
    config = StyleConfig(share=1, frames=(tmp_path,), colour=1, strength=(1, 1))
    image = torch.rand(1, 3, 40, 40, generator=torch.Generator().manual_seed(2)) * 0.1 + 0.3
    changed = Style(config)(image, _draws(image))
    brightness = np.tensordot([0.299, 0.587, 0.114], changed[0].numpy(), 1)
    assert brightness.mean() == pytest.approx(110 / 255, abs=1e-3)
    own = np.tensordot([0.299, 0.587, 0.114], image[0].numpy(), 1)
    gain = min(2.0, 10 / 255 / own.std())
    assert brightness.std() == pytest.approx(gain * own.std(), rel=0.01)
    assert changed[0].std(0).mean() < image[0].std(0).mean()  # the reference is grey


@pytest.mark.parametrize("colour", [0.0, 1.0])
def test_labels_stay_and_every_frame_changes(tmp_path: Path, colour: float) -> None:
    image, label = _frames()
    config = AugmentConfig(style=_style(tmp_path / "references", colour=colour))
    ours, ids = Augment(config, MEAN)(image, label, _draws(image))
    assert torch.equal(ids, label)
    assert ours.min() >= 0 and ours.max() <= 255
    assert ((ours - image).abs().mean((1, 2, 3)) > 1).all()


def test_a_share_of_0_leaves_every_bit_and_reads_nothing(tmp_path: Path) -> None:
    image, label = _frames()
    plain = AugmentConfig(flip=0.5, noise=0.05, brightness=0.3)
    off = plain.model_copy(update={"style": StyleConfig(share=0, frames=(tmp_path / "missing",))})
    first, _ = Augment(plain, MEAN)(image, label, _draws(image))
    second, _ = Augment(off, MEAN)(image, label, _draws(image))
    assert torch.equal(first, second)


def test_a_frame_gets_the_same_style_in_any_part_of_the_batch(tmp_path: Path) -> None:
    image, label = _frames()
    augment = Augment(AugmentConfig(style=_style(tmp_path, share=0.7)), MEAN)
    whole, _ = augment(image, label, Draws.of_batch((5,), range(4)))
    part, _ = augment(image[2:], label[2:], Draws.of_batch((5,), [2, 3]))
    assert torch.allclose(whole[2:], part, atol=1e-3)
    other, _ = augment(image, label, Draws.of_batch((6,), range(4)))
    assert not torch.equal(whole, other)


def test_a_folder_without_images_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"no images in {tmp_path}"):
        Style(StyleConfig(share=0.5, frames=(tmp_path,)))


def test_a_share_without_frames_is_refused() -> None:
    with pytest.raises(ValueError, match=r"style\.frames: name a folder"):
        StyleConfig(share=0.5)


def test_frames_without_a_share_are_refused_unless_the_share_is_0() -> None:
    with pytest.raises(ValueError, match=r"set style\.share too"):
        StyleConfig(frames=(Path("references"),))
    assert StyleConfig(share=0, frames=(Path("references"),)).share == 0


def test_missing_references_are_an_error_before_there_is_a_run(tmp_path: Path) -> None:
    style = f"augment.style={{share: 0.3, frames: [{tmp_path / 'none'}]}}"
    changes = [style, "data.root=synthetic:20", "model.input.size=[32, 48]", "training.loggers=[]"]
    with pytest.raises(InputError, match="none"):
        train_run(load_recipe("demo", changes), tmp_path / "run", say=lambda text: None)
    assert not (tmp_path / "run").exists()


def test_a_run_finds_its_references_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _style(tmp_path / "references")
    monkeypatch.chdir(tmp_path)
    style = "augment.style={share: 0.3, frames: [references]}"
    recipe = with_absolute_paths(load_recipe("demo", [style]))
    monkeypatch.chdir("/")
    assert recipe.augment.style.frames == (tmp_path / "references",)
    Style(recipe.augment.style)
