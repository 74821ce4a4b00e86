"""The settings of `worldmodels iterate`."""

from __future__ import annotations

from typing import Literal

from worldmodels.config.setting import Bounds

#: What an exploring C of each round seeks: M's uncertainty or M's loss; no: the rounds' data is the agent's own.
Explore = Literal["no", "uncertainty", "loss"]
#: Where each round's C is found: where the scale's settings say, or in the dream alone, the best of it by real scores.
RoundsWorld = Literal["own", "dream"]
ROUNDS = Bounds(1, 1_000)
STOP_AFTER = Bounds(0, 1_000)


def check_rounds(rounds: int, stop_after: int = 0) -> None:
    """Raises `UserError` for a senseless number of rounds, or of rounds without a better score."""
    ROUNDS.check("rounds", rounds)
    STOP_AFTER.check("stop_after", stop_after)
