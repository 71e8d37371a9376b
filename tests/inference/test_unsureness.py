"""How unsure a model is of a frame, by NumPy and by hand."""

import numpy as np
import pytest
import torch

from dashseg.errors import InputError
from dashseg.inference.segmenter import Result
from dashseg.inference.unsureness import RAREST, unsureness, with_features
from dashseg.labels import COMMA10K


def result(probabilities: np.ndarray, size: tuple[int, int] = (64, 96)) -> Result:
    logits = np.log(np.clip(probabilities, 1e-9, 1)).astype(np.float32)
    return Result(np.zeros((*size, 3), np.uint8), logits, COMMA10K)


def test_sure_everywhere_is_0_and_two_equal_classes_are_1() -> None:
    sure = np.zeros((5, 16, 24))
    sure[0] = 1
    assert unsureness(result(sure)).mean == pytest.approx(0, abs=1e-4)
    torn = np.zeros((5, 16, 24))
    torn[:2] = 0.5
    found = unsureness(result(torn))
    assert found.mean == pytest.approx(1, abs=1e-4)
    assert found.worst == pytest.approx(1, abs=1e-4)


def test_the_worst_region_is_where_the_model_wavers() -> None:
    probabilities = np.zeros((5, 32, 48))
    probabilities[0] = 1
    probabilities[:, 20:24, 30:36] = 0.2  # a window of an eighth of the frame
    found = unsureness(result(probabilities, (320, 480)))
    assert found.worst == pytest.approx(1, abs=1e-4)
    assert found.box == (300, 200, 360, 240)
    assert found.mean < 0.1


def test_the_mean_weighs_pixels_by_the_share_of_their_class() -> None:
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet([0.3, 0.2, 5, 1, 0.01], (40, 50)).transpose(2, 0, 1)
    ordered = np.sort(probabilities, axis=0)
    unsure = 1 - (ordered[-1] - ordered[-2])
    seen = probabilities.argmax(0)
    weights = np.zeros(seen.shape)
    for class_id in np.unique(seen):
        weights[seen == class_id] = 1 / max(RAREST, (seen == class_id).mean())
    found = unsureness(result(probabilities))
    assert found.mean == pytest.approx((weights * unsure).sum() / weights.sum(), rel=1e-4)
    np.testing.assert_allclose(found.map, unsure, atol=1e-4)


def test_features_are_the_encoders_mean_and_errors_keep_their_places(segmenter, tmp_path) -> None:
    rng = np.random.default_rng(1)
    frames = [rng.integers(0, 255, (64, 96, 3)).astype(np.uint8) for _ in range(3)]
    missing = tmp_path / "missing.png"
    seen = list(with_features(segmenter, [frames[0], missing, *frames[1:]]))
    assert isinstance(seen[1], InputError)
    outputs = []
    hook = segmenter.network.encoder.register_forward_hook(
        lambda module, inputs, output: outputs.append(output[0])
    )
    for frame in frames:
        segmenter(frame)
    hook.remove()
    for one, output in zip([seen[0], *seen[2:]], outputs, strict=True):
        assert not isinstance(one, InputError)
        mean = output.mean((2, 3))[0]
        expected = torch.nn.functional.normalize(mean, dim=0).numpy()
        np.testing.assert_allclose(one.feature, expected, atol=2e-3)
    assert not segmenter.network.encoder._forward_hooks
