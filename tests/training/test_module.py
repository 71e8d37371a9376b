import numpy as np
import pytest
import torch
from torch.nn import functional as F

from dashseg.labels import COMMA10K
from dashseg.models import build_model
from dashseg.training.batches import Batch, _collate
from dashseg.training.module import SegmentationModule


def _module(recipe, weights=None):
    torch.manual_seed(0)
    module = SegmentationModule(recipe, build_model(recipe.model), COMMA10K, weights).eval()
    module.log = lambda *arguments, **options: None
    module._step = lambda index: 0
    return module


def _batch():
    rng = np.random.default_rng(0)
    image = torch.from_numpy(rng.integers(0, 256, (2, 3, 64, 96), dtype=np.uint8))
    label = torch.from_numpy(rng.choice([0, 1, 2, 3, 4, 255], (2, 64, 96)).astype(np.uint8))
    return Batch(image, label)


@pytest.mark.parametrize("channels", ["rgb", "bgr"])
def test_the_network_sees_normalised_pixels_in_the_recipes_channel_order(tiny_recipe, channels):
    recipe = tiny_recipe(f"model.input.channels={channels}")
    module, batch = _module(recipe), _batch()
    pixels = batch.image.numpy().astype(np.float64) / 255
    if channels == "bgr":
        pixels = pixels[:, ::-1]
    mean, std = (
        np.array(v).reshape(1, 3, 1, 1) for v in (recipe.model.input.mean, recipe.model.input.std)
    )
    with torch.no_grad():
        want = module.network(torch.from_numpy((pixels - mean) / std).float())
        assert torch.allclose(module(batch.image), want, atol=1e-4)


def test_class_weights_reach_the_loss_that_is_optimised(tiny_recipe):
    weights = [1.0, 10.0, 0.5, 4.0, 0.0]
    batch = _batch()
    plain, weighted = (_module(tiny_recipe(), w).training_step(batch, 0) for w in (None, weights))
    with torch.no_grad():
        logits = _module(tiny_recipe())(batch.image)
        want = F.cross_entropy(logits, batch.label.long(), torch.tensor(weights), ignore_index=255)
    assert weighted.item() == pytest.approx(want.item(), rel=1e-4)
    assert abs(weighted.item() - plain.item()) > 1e-3


def test_mixed_precision_leaves_the_augmentation_in_full(tiny_recipe):
    module, batch = _module(tiny_recipe("augment.scale=[0.5, 2]", "augment.hue=0.1")), _batch()
    seen = []
    module._input = lambda image: seen.append(image) or image
    module.training_step(batch, 0)
    with torch.autocast("cpu", torch.bfloat16):
        module.training_step(batch, 0)
    assert torch.equal(*seen)


def test_a_frames_score_does_not_depend_on_those_that_it_is_batched_with(tiny_recipe):
    rng = np.random.default_rng(0)
    pairs = [
        (rng.integers(0, 256, (*size, 3), np.uint8), rng.integers(0, 5, size, np.uint8))
        for size in ((64, 96), (40, 96), (64, 96))
    ]
    scores = []
    for batches in ([pairs], [pairs[:1], pairs[1:2], pairs[2:]]):
        module, logged = _module(tiny_recipe()), {}
        module.log_dict, module.all_gather = logged.update, lambda value: value
        with torch.no_grad():
            module.on_validation_epoch_start()
            for batch in batches:
                module.validation_step(_collate(batch, np.zeros(3, np.uint8)), 0)
            module.on_validation_epoch_end()
        scores.append({name: float(value) for name, value in logged.items()})
    assert scores[0] == pytest.approx(scores[1], rel=1e-5)


def test_validation_counts_each_pixel_once_and_ignores_weights(tiny_recipe):
    module, batch = _module(tiny_recipe(), [1.0, 10.0, 0.5, 4.0, 1.0]), _batch()
    logged = {}
    module.log_dict = logged.update
    module.all_gather = lambda value: value
    with torch.no_grad():
        module.on_validation_epoch_start()
        for part in (slice(0, 1), slice(1, 2)):
            module.validation_step(Batch(batch.image[part], batch.label[part]), 0)
        module.on_validation_epoch_end()
        logits = module(batch.image)
    want = F.cross_entropy(logits, batch.label.long(), ignore_index=255)
    assert float(logged["val_loss"]) == pytest.approx(want.item(), rel=1e-5)
    prediction, label = logits.argmax(1).numpy(), batch.label.numpy()
    ious = []
    for k in range(5):
        hit = ((prediction == k) & (label == k)).sum()
        ious.append(hit / (((prediction == k) & (label != 255)) | (label == k)).sum())
    assert float(logged["val_miou"]) == pytest.approx(np.mean(ious), rel=1e-6)
