"""What all sections of a recipe share: their base class, and the types of their values."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

SMALLEST_SIDE = 32  # pixels: the encoder at output stride 32 then still has one to look at

Side = Annotated[int, Field(ge=SMALLEST_SIDE)]
Size = tuple[Side, Side]
Probability = Annotated[float, Field(ge=0, le=1)]
Range = tuple[float, float]
Deviation = Annotated[float, Field(gt=0)]


class Section(BaseModel):
    """Strict and unchangeable; the text below a key becomes its description."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )
