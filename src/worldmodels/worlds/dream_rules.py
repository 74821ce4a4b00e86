"""What makes a dream another one than M's plain one: what is left out of M, and what a step is worth."""

from __future__ import annotations

from dataclasses import dataclass

from worldmodels.base.errors import UserError
from worldmodels.config import DROPOUTS, ControllerConfig, Seeks, UncertaintyConfig


@dataclass(frozen=True)
class DreamRules:
    """The rules of a dream.

    Attributes:
        dropout: the share of M's z input and of what its steps would write into the cell state that an episode's mask leaves
            out, 0 to 0.9 (`worlds.dropout`); 0: none.
        seeks: what a step's reward is: the game's as M expects it ("reward"), M's ``uncertainty`` before the step, or M's
            ``loss`` at the latent that came, in nats a latent.
        pessimism: so many times M's uncertainty is taken from the game's reward.
        uncertainty: how that is measured.
        measured: whether the uncertainty is told in the info where no reward needs it.
    """

    dropout: float = 0.0
    seeks: Seeks = "reward"
    pessimism: float = 0.0
    uncertainty: UncertaintyConfig = UncertaintyConfig()  # noqa: RUF009 (frozen)
    measured: bool = False

    def __post_init__(self) -> None:
        if not DROPOUTS.low <= self.dropout <= DROPOUTS.high:
            raise UserError(f"dropout is {self.dropout}; it must lie between {DROPOUTS.low:g} and {DROPOUTS.high:g}")

    @property
    def measures(self) -> bool:
        """Whether M's uncertainty is measured in every step."""
        return self.measured or self.seeks == "uncertainty" or self.pessimism > 0


def rules_of(config: ControllerConfig) -> DreamRules:
    """Returns the rules of the dream that a search is done in."""
    return DreamRules(config.dream_dropout, config.seeks, config.pessimism, config.uncertainty)
