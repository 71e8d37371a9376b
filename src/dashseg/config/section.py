"""What all sections of a recipe share: their base class, and the types of their values."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

SMALLEST_SIDE = 32  # pixels: the encoder at output stride 32 then still has one to look at
LARGEST_SIDE = 8192  # pixels: the sides of an 8K frame fit; logits of more fill any memory

Side = Annotated[int, Field(ge=SMALLEST_SIDE, le=LARGEST_SIDE)]
Size = tuple[Side, Side]
Channels = Annotated[int, Field(ge=1, le=4096)]
Dilation = Annotated[int, Field(ge=1, le=LARGEST_SIDE // 8)]
Probability = Annotated[float, Field(ge=0, le=1)]
Bound = Annotated[float, Field(le=10_000)]  # far beyond every range; 1e300 overflows float32
Range = tuple[Bound, Bound]
Deviation = Annotated[float, Field(gt=0)]


class Section(BaseModel):
    """Strict and unchangeable; the text below a key becomes its description."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )
