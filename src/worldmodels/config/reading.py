"""How an environment that was not made for us is read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated

from worldmodels.base.errors import UserError
from worldmodels.config.setting import Bounds, Config

#: A crop: FIRST:LAST of the rows and of the columns, counted from 0, the last one left out; each number may be left out.
_CROP = re.compile(r"(\d*):(\d*),(\d*):(\d*)")


@dataclass(frozen=True)
class ReadConfig(Config):
    """How an environment that was not made for us is read: what is seen of it, and how a step of ours is made of its steps."""

    observation: str = ""
    """What is seen: a part of the observation by its key (a.b: b in a), or 'render', the environment's own picture; empty: the
    observation's one picture, or what is rendered where it has none."""
    crop: str = ""
    """Of the picture only these rows and columns are seen, as TOP:BOTTOM,LEFT:RIGHT in its pixels; empty: all."""
    frame_skip: Annotated[int, Bounds(1, 1_000)] = 1
    """Steps of the environment in a step of ours: the action is repeated, the rewards are summed."""
    reward_clip: Annotated[float, Bounds(0, 1e9)] = 0.0
    """In training a step's reward is clipped to ± this; scores are taken without it. 0: not clipped."""

    def validate(self) -> None:
        super().validate()
        if self.crop and not _CROP.fullmatch(self.crop):
            raise UserError(f"crop is '{self.crop}'; write TOP:BOTTOM,LEFT:RIGHT, such as 150:320,0:600")

    def crop_slices(self) -> tuple[slice, slice]:
        """Returns the rows and the columns that are seen."""
        found = _CROP.fullmatch(self.crop)
        top, bottom, left, right = [int(number) if number else None for number in found.groups()] if found else [None] * 4
        return slice(top, bottom), slice(left, right)
