"""The settings of `worldmodels train-controller`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, Self

from worldmodels.base.errors import UserError
from worldmodels.config.dream_ppo import DreamPPOConfig
from worldmodels.config.setting import ADDED, BY_HASH, PLACE, RUNTIME, Bounds, Config, check_number
from worldmodels.config.shared import DROPOUTS, TEMPERATURES, WORKERS, Device, LogKind, PlaceConfig, World
from worldmodels.config.strategies import ESConfig
from worldmodels.config.uncertainty import UncertaintyConfig

#: What C sees: V's latent z or its mean mu, and M's states h (hidden) and c (cell); "+hidden": all that through 40 tanh units.
ControllerInputs = Literal["z", "zh", "zch", "mu", "muh", "z+hidden", "zh+hidden", "zch+hidden", "mu+hidden", "muh+hidden"]
ScoreWorld = Literal["same", "dream", "real"]
#: What a search in the dream seeks: the game's reward, or what M does not know.
Seeks = Literal["reward", "uncertainty", "loss"]
Optimizer = Literal["cma", "openes", "pepg", "ses", "simple-ga"]
#: Where steps are what ends a search.
UNLIMITED_GENERATIONS = 1_000_000


@dataclass(frozen=True)
class ControllerConfig(Config):
    """C, the controller, found by an evolution strategy, or by PPO in the dream, or by one after the other."""

    gone: ClassVar[Mapping[str, Any]] = {"memory": "trained"}

    from_model: str = field(default="", metadata={**BY_HASH, "flag": "from"})
    """Begin the search at the C of another model: a task's name (its shipped agent), a run's folder or a model's folder. It may
    see less than this one, such as mu where this one sees muh. Left out: as the run has it; in a new one at
    zeros, or at the previous run's."""
    inputs: ControllerInputs = "zh"
    """What C sees: z (V's latent) or mu (its mean, without the noise of the draw), h and c (M's hidden and cell states);
    +hidden: all that through 40 tanh units."""
    optimizer: Optimizer = field(default="cma", metadata=ADDED)
    """What searches: cma (CMA-ES), openes (OpenAI's evolution strategy), pepg (parameter-exploring policy gradients), ses (the
    original's simple evolution strategy) or simple-ga (a genetic algorithm)."""
    es: ESConfig = field(default=ESConfig(), metadata=ADDED)
    """What those beside CMA-ES need."""
    num_generations: Annotated[int, Bounds(0, 1_000_000)] = 100
    """Generations of the search; with --from 0 keeps that C as it is."""
    max_steps: Annotated[int, Bounds(0, 10**15)] = field(default=0, metadata=ADDED)
    """End the search with the generation in which its candidates have played this many steps, however many generations are
    left; 0: no limit."""
    population_size: Annotated[int, Bounds(4, 65_536)] = 64
    """Candidates per generation."""
    episodes_per_candidate: Annotated[int, Bounds(1, 65_536)] = 16
    """Episodes whose mean return is a candidate's fitness; the same seeds for all candidates of a generation."""
    sigma: Annotated[float, Bounds(1e-6, 100)] = 0.1
    """The initial step size of the search."""
    num_components: Annotated[int, Bounds(0, 100_000)] = field(default=0, metadata=ADDED)
    """cma: search along this many principal components of what C sees, each scaled to one size, in place of along every weight
    (where what it sees varies in fewer, along those); 0: every weight."""
    cma_weight_decay: Annotated[float, Bounds(0, 1_000)] = field(default=0.0, metadata=ADDED)
    """cma: so many times the mean square of a candidate's weights is taken from its fitness (the others': es_weight_decay; the
    original's program has 0.01, with the sign that makes weights larger)."""
    ppo_iterations: Annotated[int, Bounds(0, 1_000_000)] = field(default=0, metadata=ADDED)
    """Before the search, improve C in the dream for so many iterations of proximal policy optimization; 0: begin at zeros, or
    at the previous run's controller."""
    ppo: DreamPPOConfig = field(default=DreamPPOConfig(), metadata=ADDED)
    """How those iterations are done."""
    world: World = "dream"
    """Where C is trained."""
    patience_steps: Annotated[int, Bounds(0, 1_000_000)] = field(default=0, metadata=ADDED)
    """In the real environment, end a training episode after this many steps without a positive reward, as if the last reward
    had come for all steps that were left; 0 plays on."""
    cap_time: bool = field(default=False, metadata=ADDED)
    """Cut candidates' episodes after twice the mean length of the generation before (the original's cap_time_mode, off there):
    a generation takes less time, and what is beyond counts nothing."""
    return_to_best: bool = field(default=False, metadata=ADDED)
    """openes, pepg, ses: a mean that does not score better than the best so far is put back to that one (the original's
    retrain_mode, off there, whose best is a candidate and not a mean)."""
    temperature: Annotated[float, TEMPERATURES] = 1.15
    """The dream's temperature."""
    dream_dropout: Annotated[float, DROPOUTS] = field(default=0.0, metadata=ADDED)
    """The share of M's z input and of what a step would write into the cell state that is left out of the dream, by one mask an
    episode (docs/ideas.md). For an M that was trained with dropout."""
    pessimism: Annotated[float, Bounds(0, 1e6)] = field(default=0.0, metadata=ADDED)
    """So many times M's uncertainty is taken from the dream's reward in every step."""
    uncertainty: UncertaintyConfig = field(default=UncertaintyConfig(), metadata=ADDED)
    """How M's uncertainty is measured."""
    seeks: Seeks = field(default="reward", metadata=ADDED)
    """What C is rewarded for in the dream: reward (the game's), or, to explore, uncertainty (M's) or loss (M's own, which
    whatever is left to luck raises, too)."""
    score_every_generations: Annotated[int, Bounds(1, 1_000_000)] = 25
    """Generations between two scorings of the search's mean."""
    score_episodes: Annotated[int, Bounds(1, 1_000_000)] = 1024
    """Episodes of such a scoring; the best-scoring mean is the controller that is kept."""
    score_world: ScoreWorld = field(default="same", metadata=ADDED)
    """Where such a scoring is played: where C is trained (same), or elsewhere, with seeds that no evaluation uses."""
    num_slots: Annotated[int, Bounds(1, 1_000_000)] = field(default=1024, metadata=RUNTIME)
    """Dreams that run side by side."""
    device: Device = field(default="auto", metadata=RUNTIME)
    """Where to dream; auto is the GPU if there is one. The real environment is played on the CPU."""
    num_workers: Annotated[int, WORKERS] = field(default=0, metadata=RUNTIME)
    """Processes that play the real environment; 0 is one per CPU core."""
    log: LogKind = field(default="tensorboard", metadata=PLACE)
    """Where the curve is shown while it is evolved: RUN/tensorboard, Weights & Biases or Trackio (docs/install.md)."""
    place: PlaceConfig = field(default=PlaceConfig(), metadata=PLACE)
    """Who plays the real environment."""

    @property
    def resolved_score_world(self) -> World:
        """The world that ``score_world`` means: dream or real."""
        return self.world if self.score_world == "same" else self.score_world

    def validate(self) -> None:
        super().validate()
        check_number("num_generations", self.num_generations, 0 if self.ppo_iterations or self.from_model else 1, 1_000_000)
        self._check_dream()
        if self.num_components and self.optimizer != "cma":
            raise UserError(
                f"num_components is {self.num_components}, and only cma searches along components; the optimizer is "
                f"{self.optimizer}"
            )
        if self.cma_weight_decay and self.optimizer != "cma":
            raise UserError(
                f"cma_weight_decay is {self.cma_weight_decay:g}, and the optimizer is {self.optimizer}; use es_weight_decay"
            )
        if self.return_to_best and self.optimizer not in ("openes", "pepg", "ses"):
            raise UserError(
                f"return_to_best is for a mean that can be put back, that of openes, pepg or ses; the optimizer is "
                f"{self.optimizer}"
            )
        paired = self.optimizer in ("pepg", "ses") or (self.optimizer == "openes" and self.es.antithetic)
        if paired and self.population_size % 2:
            raise UserError(
                f"population_size is {self.population_size}; {self.optimizer} draws candidates in pairs: take an even number"
            )

    def with_effort(self, num_generations: int, ppo_iterations: int, max_steps: int = 0) -> Self:
        """Returns a search with as many generations and iterations as are asked for: with neither its own, with iterations
        alone no generations, with steps alone as many generations as they take."""
        if not (num_generations or ppo_iterations or max_steps):
            return dataclasses.replace(self, max_steps=0)
        generations = UNLIMITED_GENERATIONS if max_steps and not num_generations else num_generations
        return dataclasses.replace(self, num_generations=generations, ppo_iterations=ppo_iterations, max_steps=max_steps)

    def dreamt_only(self) -> Self:
        """Returns a search in the dream alone, of which the mean is kept that scores best in the real game."""
        return dataclasses.replace(self, world="dream", score_world="real")

    def _check_dream(self) -> None:
        """Raises `UserError` where a setting of the dream has no dream to act in, or none that counts."""
        dreams = self.world == "dream" or self.ppo_iterations > 0
        for name, usual in (("dream_dropout", 0.0), ("pessimism", 0.0), ("seeks", "reward")):
            if not dreams and getattr(self, name) != usual:
                raise UserError(f"{name} is {getattr(self, name)}, and the world is real; it is a setting of the dream")
        if self.seeks != "reward" and self.pessimism:
            raise UserError(f"pessimism is {self.pessimism:g}, and C seeks {self.seeks}; only the game's reward is reduced")
        if self.seeks != "reward" and "real" in (self.world, self.resolved_score_world):
            raise UserError(f"C seeks {self.seeks}, which the dream alone rewards; let world be dream and score_world same")
