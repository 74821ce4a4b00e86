"""The settings of the optimisers beside CMA-ES."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated, ClassVar

from worldmodels.base.errors import UserError
from worldmodels.config.setting import Bounds, Config
from worldmodels.config.shared import LEARNING_RATES

_ANNEALED, _RANKED = ("sigma_decay", "sigma_limit"), ("weight_decay", "rank_fitness")
_ADAM = ("learning_rate", "learning_rate_decay", "learning_rate_limit")
_ADAPTED = ("sigma_learning_rate", "sigma_max_change")


@dataclass(frozen=True)
class ESConfig(Config):
    """What the optimisers beside CMA-ES need; the defaults are those of the original's training program, but for
    ``forget_best``."""

    prefix: ClassVar[str] = "es_"
    #: What each optimiser reads of it.
    read: ClassVar[dict[str, tuple[str, ...]]] = {
        "cma": (),
        "openes": (*_ANNEALED, *_RANKED, *_ADAM, "antithetic"),
        "pepg": (*_ANNEALED, *_RANKED, *_ADAM, *_ADAPTED),
        "ses": (*_ANNEALED, *_RANKED, *_ADAPTED, "elite_ratio"),
        "simple-ga": (*_ANNEALED, "weight_decay", "elite_ratio", "forget_best"),
    }

    sigma_decay: Annotated[float, Bounds(0.01, 1)] = 0.999
    """The step size falls by this factor a generation."""
    sigma_limit: Annotated[float, Bounds(1e-9, 100)] = 0.02
    """It falls no more once it is no larger than this."""
    sigma_learning_rate: Annotated[float, Bounds(0, 10)] = 0.2
    """pepg, ses: how fast each parameter's step size adapts; 0: they only fall."""
    sigma_max_change: Annotated[float, Bounds(0, 1)] = 0.2
    """pepg, ses: the share of itself by which a step size adapts in one generation at most."""
    learning_rate: Annotated[float, LEARNING_RATES] = 0.01
    """openes, pepg: Adam's learning rate in the first generation."""
    learning_rate_decay: Annotated[float, Bounds(0.01, 1)] = 1.0
    """openes, pepg: it falls by this factor a generation."""
    learning_rate_limit: Annotated[float, LEARNING_RATES] = 0.01
    """openes, pepg: it falls no more once it is no larger than this."""
    antithetic: bool = True
    """openes: candidates in pairs on both sides of the mean (those of pepg and ses always are)."""
    weight_decay: Annotated[float, Bounds(0, 1_000)] = 0.005
    """So many times the mean square of a candidate's weights is taken from its fitness, or from its rank."""
    rank_fitness: bool = True
    """openes, pepg, ses: ranks from -0.5 to 0.5 in the place of fitness values."""
    elite_ratio: Annotated[float, Bounds(0, 1)] = 0.1
    """ses: the share of the candidates whose average is the next mean; simple-ga: the share that become parents. At least
    one."""
    forget_best: bool = False
    """simple-ga: parents live for one generation, however well they did (what the original's program does)."""

    def check_read(self, optimizer: str) -> None:
        """Raises `UserError` where a setting was changed that the optimiser never reads."""
        for setting in fields(self):
            value = getattr(self, setting.name)
            if value != setting.default and setting.name not in self.read[optimizer]:
                readers = ", ".join(name for name, read in self.read.items() if setting.name in read)
                raise UserError(f"es_{setting.name} is {value}, and {optimizer} never reads it, only {readers}; leave it out")
