"""The recipe: its schema, reading it, and explaining it.

`schema` has every section but `augment`, which has a file of its own. `read` turns YAML into a
`Recipe`; `explain` prints one with a comment on each knob, and `reference` writes docs/recipe.md.
"""

from dashseg.config.augment import (
    AugmentConfig,
    DistortConfig,
    DropoutConfig,
    FogConfig,
    NightConfig,
    RainConfig,
    StyleConfig,
)
from dashseg.config.explain import explain_recipe
from dashseg.config.read import (
    change_recipe,
    load_recipe,
    load_run_recipe,
    parse_model,
    parse_recipe,
    recipe_names,
)
from dashseg.config.schema import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    IN_PACK,
    AsppConfig,
    DataConfig,
    DatasetKind,
    DecoderConfig,
    DecoderLevel,
    EncoderConfig,
    EvaluationConfig,
    ExtraData,
    InputConfig,
    LossConfig,
    LossTerm,
    ModelConfig,
    OptimizerConfig,
    Part,
    Placement,
    Recipe,
    TeacherConfig,
    TrainingConfig,
)
from dashseg.config.section import SMALLEST_SIDE, Size

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "IN_PACK",
    "SMALLEST_SIDE",
    "AsppConfig",
    "AugmentConfig",
    "DataConfig",
    "DatasetKind",
    "DecoderConfig",
    "DecoderLevel",
    "DistortConfig",
    "DropoutConfig",
    "EncoderConfig",
    "EvaluationConfig",
    "ExtraData",
    "FogConfig",
    "InputConfig",
    "LossConfig",
    "LossTerm",
    "ModelConfig",
    "NightConfig",
    "OptimizerConfig",
    "Part",
    "Placement",
    "RainConfig",
    "Recipe",
    "Size",
    "StyleConfig",
    "TeacherConfig",
    "TrainingConfig",
    "change_recipe",
    "explain_recipe",
    "load_recipe",
    "load_run_recipe",
    "parse_model",
    "parse_recipe",
    "recipe_names",
]
