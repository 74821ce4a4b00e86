"""The settings of `worldmodels iterate`."""

from __future__ import annotations

from typing import Literal

from worldmodels.config.setting import Bounds

#: What an exploring C of each round seeks: M's uncertainty or M's loss; no: the rounds' data is the agent's own.
Explore = Literal["no", "uncertainty", "loss"]
ROUNDS = Bounds(1, 1_000)


def check_rounds(rounds: int) -> None:
    """Raises `UserError` for a senseless number of rounds."""
    ROUNDS.check("rounds", rounds)
