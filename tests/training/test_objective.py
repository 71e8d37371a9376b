from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from dashseg.config import Recipe
from dashseg.models import build_model
from dashseg.training.objective import Objective


def test_class_weights_reach_the_loss_that_is_optimised(tiny_recipe: Callable[..., Recipe]) -> None:
    weights = [1.0, 10.0, 0.5, 4.0, 0.0]
    rng = np.random.default_rng(0)
    image = torch.from_numpy(rng.normal(size=(2, 3, 64, 96))).float()
    label = torch.from_numpy(rng.choice([0, 1, 2, 3, 4, 255], (2, 64, 96)))
    recipe = tiny_recipe()
    network = build_model(recipe.model).eval()
    plain, weighted = (
        Objective(network, recipe.loss, 5, chosen)(image, label) for chosen in (None, weights)
    )
    with torch.no_grad():
        want = F.cross_entropy(network(image), label, torch.tensor(weights), ignore_index=255)
    assert weighted.item() == pytest.approx(want.item(), rel=1e-4)
    assert abs(weighted.item() - plain.item()) > 1e-3
