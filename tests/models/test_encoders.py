from typing import get_args

from dashseg.config.schema import OwnEncoder
from dashseg.models.encoders import ENCODERS


def test_every_name_that_a_recipe_may_give_has_an_encoder() -> None:
    assert tuple(ENCODERS) == get_args(OwnEncoder)
