"""What a run is asked to do: one frozen dataclass per stage, each checked before any work starts.

The docstring under a field is its help text on the command line. Fields marked ``RUNTIME`` change how fast a stage
runs and never what it writes, so they stay out of its fingerprint.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal, Self, get_args, get_type_hints

from worldmodels.base.errors import UserError, nearest
from worldmodels.base.seeding import FIRST_TRAINING_SEED

RUNTIME = {"runtime": True}
#: Who does the work and where it is left meanwhile: a matter of one command, which no file of the run remembers.
PLACE = {"runtime": True, "place": True}
#: Settings that older runs did not have: at their default value they stay out of the fingerprint, so that those runs go on.
ADDED = {"added": True}
#: Sizes, where 0 stands for the task's own: older runs, which did not have them as settings, had those.
OWN = {"added": True, "own": True}

Backend = Literal["local", "ray"]
World = Literal["dream", "real"]
ScoreWorld = Literal["same", "dream", "real"]
DataPolicy = Literal["held", "nets", "agent"]
#: What C sees: V's latent z or its mean mu, and M's states h (hidden) and c (cell); "z+hidden": z through 40 tanh units.
ControllerInputs = Literal["z", "z+hidden", "zh", "zc", "zch", "muh"]
Memory = Literal["trained", "untrained"]
AgentKind = Literal["trained", "random"]
Device = Literal["auto", "cpu", "cuda"]


def _check(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:  # refuses NaN too
        raise UserError(f"{name} is {value}; it must lie between {as_written(low)} and {as_written(high)}")


def as_written(number: float) -> str:
    """Returns a number as people write it: 1,073,741,824 and 0.5 and 1e-8."""
    if number == int(number):
        return f"{int(number):,}"
    return f"{number:g}".replace("e-0", "e-")


def check_seed(seed: int, num_seeds: int = 1) -> None:
    """Raises `UserError` unless the seed, and as many from it on as are used, are such that every library here takes them."""
    _check("seed", seed, 0, MAX_SEED - num_seeds + 1)


def check_rounds(rounds: int) -> None:
    """Raises `UserError` for a senseless number of rounds."""
    _check("rounds", rounds, 1, 1_000)


#: The dream's temperature lies between them.
LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE = 0.01, 10.0


def _check_temperature(temperature: float) -> None:
    """Raises `UserError` for what is neither a temperature nor 0, which stands for the agent's own."""
    if temperature != 0:
        _check("temperature", temperature, LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE)


def _check_backend(backend: str, address: str) -> None:
    if address and backend != "ray":
        raise UserError(f"address is {address}, and the backend is {backend}; use --backend ray")


@dataclass(frozen=True)
class Config:
    """Common to all stages: JSON in and out, with every key and type checked."""

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as JSON-ready values, but for those that are marked ``PLACE``."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if not f.metadata.get("place")}

    def fingerprint_fields(self) -> dict[str, Any]:
        """Returns the fields that decide the stage's result."""
        return {
            f.name: getattr(self, f.name)
            for f in dataclasses.fields(self)
            if not f.metadata.get("runtime") and not (f.metadata.get("added") and getattr(self, f.name) == f.default)
        }

    @classmethod
    def from_dict(cls, data: Any, where: str) -> Self:
        """Builds the configuration from JSON values; ``where`` names the source in errors.

        Raises:
            UserError: on an unknown key, a value of the wrong type or one out of range.
        """
        if not isinstance(data, dict):
            raise UserError(f"{where}: expected a table of settings, found {type(data).__name__}")
        hints = get_type_hints(cls)
        for key, value in data.items():
            if key not in hints:
                raise UserError(f"{where}: unknown setting '{key}'{nearest(str(key), hints)}")
            kind = hints[key]
            allowed = get_args(kind)
            if allowed:
                good = value in allowed
            elif kind is float:
                good = isinstance(value, int | float) and not isinstance(value, bool)
            else:
                good = type(value) is kind
            if not good:
                wanted = f"one of {', '.join(map(str, allowed))}" if allowed else kind.__name__
                raise UserError(f"{where}: '{key}' is {value!r}; expected {wanted}")
        config = cls(**data)
        config.validate()
        return config

    def validate(self) -> None:
        """Raises `UserError` when a value lies outside its allowed range."""


@dataclass(frozen=True)
class CollectConfig(Config):
    """Episodes in the real environment, of a random policy or of the previous run's agent."""

    num_episodes: int = 10_000
    """Episodes to keep."""
    policy: DataPolicy = "held"
    """held: random actions, each held for a while; nets: V, M and C with random weights, drawn anew for every episode;
    agent: the previous run's agent, with some of the held actions mixed in."""
    max_noise: float = field(default=0.5, metadata=ADDED)
    """agent: the share of the held random action in what is done; every episode draws its own from U(0, this)."""
    start_anywhere: bool = False
    """Start episodes at random places, where the environment can do that."""
    max_short_steps: int = 100
    """Episodes of at most this many steps are dropped and played again with another seed (the original's rule)."""
    max_episode_steps: int = field(default=0, metadata=ADDED)
    """Episodes are cut after this many steps; 0 plays them out."""
    max_hold_steps: int = 10
    """The random action is held for 1 to this many steps."""
    bias_scale: float = 0.0
    """Half of the episodes add a constant drawn from U(-b, b) to every action; 0 is the original's policy."""
    min_spread: float = 1.0
    """Those episodes scale their draws by a factor from U(this, 1): with 0 some hardly change their action."""
    episodes_per_shard: int = 16
    """Episodes written together: the unit of work, and what a kill can lose."""
    num_workers: int = field(default=0, metadata=RUNTIME)
    """Processes that play; 0 is one per CPU core, two where a step waits for another process (ViZDoom)."""
    backend: Backend = field(default="local", metadata=PLACE)
    """Who plays the real environment: processes of this machine, or of a Ray cluster (docs/cluster.md)."""
    address: str = field(default="", metadata=PLACE)
    """Of the Ray cluster, HOST:PORT; empty: the one that this machine belongs to, else one of this command's own."""
    episodes_url: str = field(default="", metadata=PLACE)
    """Where the workers leave their shards, any fsspec URL; the run's folder gets them from there. Empty: in that folder, which
    all machines must share."""

    def validate(self) -> None:
        _check("num_episodes", self.num_episodes, 2, 10_000_000)
        _check("max_short_steps", self.max_short_steps, 0, 100_000)
        _check("max_noise", self.max_noise, 0, 1)
        _check("max_episode_steps", self.max_episode_steps, 0, 1_000_000)
        if 0 < self.max_episode_steps <= self.max_short_steps:
            raise UserError(
                f"max_episode_steps is {self.max_episode_steps}; it must be 0 or above max_short_steps, {self.max_short_steps}"
            )
        _check("max_hold_steps", self.max_hold_steps, 1, 10_000)
        _check("bias_scale", self.bias_scale, 0, 10)
        _check("min_spread", self.min_spread, 0, 1)
        _check("episodes_per_shard", self.episodes_per_shard, 1, 10_000)
        _check("num_workers", self.num_workers, 0, 1024)
        _check_backend(self.backend, self.address)


@dataclass(frozen=True)
class GradientConfig(Config):
    """What V and M share: a number of steps of Adam, with the learning rate falling exponentially."""

    num_steps: int = 1
    """Gradient steps."""
    batch_size: int = 100
    """Frames (V) or sequences (M) per step."""
    learning_rate: float = 1e-4
    """Adam's learning rate at the first step."""
    final_learning_rate: float = 1e-4
    """Adam's learning rate at the last step."""
    held_out_fraction: float = 0.05
    """Share of the episodes kept for validation."""
    validate_every_steps: int = 500
    """Gradient steps between two validations."""
    checkpoint_every_steps: int = field(default=500, metadata=RUNTIME)
    """Gradient steps between two checkpoints: what a kill can lose."""
    device: Device = field(default="auto", metadata=RUNTIME)
    """Where to compute; auto is the GPU if there is one."""

    def validate(self) -> None:
        _check("num_steps", self.num_steps, 1, 100_000_000)
        _check("batch_size", self.batch_size, 1, 65_536)
        _check("learning_rate", self.learning_rate, 1e-8, 1)
        _check("final_learning_rate", self.final_learning_rate, 1e-8, 1)
        _check("held_out_fraction", self.held_out_fraction, 0.001, 0.9)
        _check("validate_every_steps", self.validate_every_steps, 1, 100_000_000)
        _check("checkpoint_every_steps", self.checkpoint_every_steps, 1, 100_000_000)


#: V's decoder has 1,024 numbers after its first layer: one for each of the latents, and one for what is always added.
LARGEST_LATENT = 1023
LARGEST_HIDDEN, MOST_MIXTURES = 16_384, 100


@dataclass(frozen=True)
class VAEConfig(GradientConfig):
    """V, the convolutional variational autoencoder."""

    latent_size: int = field(default=0, metadata=OWN)
    """Z, how many numbers V makes of a frame; 0: as many as the task suggests."""
    kl_tolerance: float = 0.5
    """The KL term is not pushed below this many nats per latent (the original's free bits)."""
    quartic_weight: float = field(default=0.0, metadata=ADDED)
    """What the fourth power of a pixel's error counts beside its square: with 25 a few pixels that are all wrong, such as a
    distant fireball, outweigh many that are a little; the original's loss is 0."""

    def validate(self) -> None:
        super().validate()
        _check("latent_size", self.latent_size, 0, LARGEST_LATENT)
        _check("kl_tolerance", self.kl_tolerance, 0, 100)
        _check("quartic_weight", self.quartic_weight, 0, 10_000)


@dataclass(frozen=True)
class EncodeConfig(Config):
    """All frames through V, once."""

    batch_size: int = 256
    """Frames per forward pass."""
    mirror_episodes: int = field(default=0, metadata=ADDED)
    """So many of the newest episodes are encoded a second time, as a mirror shows them: M then learns from both (tasks that are
    the same in a mirror, such as take-cover)."""
    device: Device = field(default="auto", metadata=RUNTIME)
    """Where to compute; auto is the GPU if there is one."""

    def validate(self) -> None:
        _check("batch_size", self.batch_size, 1, 65_536)
        _check("mirror_episodes", self.mirror_episodes, 0, 10_000_000)


@dataclass(frozen=True)
class RNNConfig(GradientConfig):
    """M, the MDN-RNN."""

    hidden_size: int = field(default=0, metadata=OWN)
    """H, the size of M's hidden and cell states; 0: what the task suggests."""
    num_mixtures: int = field(default=0, metadata=OWN)
    """K, the Gaussians that M mixes for each number of the next latent; 0: as many as the task suggests."""
    sequence_length: int = 500
    """Time steps between two truncations of back-propagation; the state is carried across."""
    done_weight: float = 10.0
    """Weight of a termination, or of a hit, in the done head's cross-entropy (the original's 10); tasks without that head
    ignore it."""
    max_grad_value: float = 1.0
    """Each gradient element is clipped to ± this value."""

    def validate(self) -> None:
        super().validate()
        _check("hidden_size", self.hidden_size, 0, LARGEST_HIDDEN)
        _check("num_mixtures", self.num_mixtures, 0, MOST_MIXTURES)
        _check("sequence_length", self.sequence_length, 1, 100_000)
        _check("done_weight", self.done_weight, 1e-3, 10_000)
        _check("max_grad_value", self.max_grad_value, 1e-6, 1e6)


@dataclass(frozen=True)
class ControllerConfig(Config):
    """C, the controller, found by CMA-ES, or by PPO in the dream, or by one after the other."""

    inputs: ControllerInputs = "zh"
    """What C sees: z (V's latent) or mu (its mean, without the noise of the draw), h and c (M's hidden and cell states);
    z+hidden: z through 40 tanh units."""
    memory: Memory = "trained"
    """M as it was trained, or, as a control, M with its random initial weights."""
    num_generations: int = 100
    """Generations of CMA-ES."""
    population_size: int = 64
    """Candidates per generation."""
    episodes_per_candidate: int = 16
    """Episodes whose mean return is a candidate's fitness; the same seeds for all candidates of a generation."""
    sigma: float = 0.1
    """CMA-ES's initial step size."""
    num_components: int = field(default=0, metadata=ADDED)
    """Search along this many principal components of what C sees, each scaled to one size, in place of along every weight; 0:
    every weight."""
    ppo_iterations: int = field(default=0, metadata=ADDED)
    """Before CMA-ES, improve C in the dream for so many iterations of proximal policy optimization (tasks with hits only); 0:
    begin at zeros, or at the previous run's controller."""
    world: World = "dream"
    """Where C is trained."""
    patience_steps: int = field(default=0, metadata=ADDED)
    """In the real environment, end a training episode after this many steps without a positive reward, as if the last reward
    had come for all steps that were left; 0 plays on."""
    temperature: float = 1.15
    """The dream's temperature."""
    score_every_generations: int = 25
    """Generations between two scorings of CMA-ES's mean."""
    score_episodes: int = 1024
    """Episodes of such a scoring; the best-scoring mean is the controller that is kept."""
    score_world: ScoreWorld = field(default="same", metadata=ADDED)
    """Where such a scoring is played: where C is trained (same), or elsewhere, with seeds that no evaluation uses."""
    num_slots: int = field(default=1024, metadata=RUNTIME)
    """Dreams that run side by side."""
    device: Device = field(default="auto", metadata=RUNTIME)
    """Where to dream; auto is the GPU if there is one. The real environment is played on the CPU."""
    num_workers: int = field(default=0, metadata=RUNTIME)
    """Processes that play the real environment; 0 is one per CPU core."""
    backend: Backend = field(default="local", metadata=PLACE)
    """Who plays the real environment: processes of this machine, or of a Ray cluster (docs/cluster.md)."""
    address: str = field(default="", metadata=PLACE)
    """Of the Ray cluster, HOST:PORT; empty: the one that this machine belongs to, else one of this command's own."""

    @property
    def judging_world(self) -> World:
        """Where the search's mean is scored: ``score_world``, spelt out."""
        return self.world if self.score_world == "same" else self.score_world

    def validate(self) -> None:
        if ("dream" in (self.world, self.score_world) or self.ppo_iterations) and self.memory == "untrained":
            raise UserError("memory is untrained; only a trained M can dream: use world real, and no ppo_iterations")
        _check("num_generations", self.num_generations, 0 if self.ppo_iterations else 1, 1_000_000)
        _check("population_size", self.population_size, 4, 65_536)
        _check("episodes_per_candidate", self.episodes_per_candidate, 1, 65_536)
        _check("sigma", self.sigma, 1e-6, 100)
        _check("patience_steps", self.patience_steps, 0, 1_000_000)
        _check("num_components", self.num_components, 0, 100_000)
        _check("ppo_iterations", self.ppo_iterations, 0, 1_000_000)
        _check("temperature", self.temperature, 0.01, 10)
        _check("score_every_generations", self.score_every_generations, 1, 1_000_000)
        _check("score_episodes", self.score_episodes, 1, 1_000_000)
        _check("num_slots", self.num_slots, 1, 1_000_000)
        _check("num_workers", self.num_workers, 0, 1024)
        _check_backend(self.backend, self.address)


#: No seed is above it.
MAX_SEED = 2**31 - 1


@dataclass(frozen=True)
class EvaluateConfig(Config):
    """An agent on held-out seeds."""

    world: World = "real"
    """Where the agent plays."""
    agent: AgentKind = "trained"
    """The trained controller, or actions drawn uniformly from the action space."""
    episodes: int = 100
    """Episodes to play; episode i has seed S + i."""
    seed: int = 0
    """S, the first seed. Seeds below 2^30 are never used in training."""
    temperature: float = 0.0
    """The dream's temperature; 0 is the agent's own, of the dream that it was trained or scored in. The real environment has
    none."""
    fast: bool = False
    """Play the environment that training uses, where it is a faster copy of the official one."""
    num_slots: int = field(default=1024, metadata=RUNTIME)
    """Dreams that run side by side."""
    device: Device = field(default="auto", metadata=RUNTIME)
    """Where to dream; auto is the GPU if there is one. The real environment is played on the CPU."""
    num_workers: int = field(default=0, metadata=RUNTIME)
    """Processes that play the real environment; 0 is one per CPU core."""
    backend: Backend = field(default="local", metadata=PLACE)
    """Who plays the real environment: processes of this machine, or of a Ray cluster (docs/cluster.md)."""
    address: str = field(default="", metadata=PLACE)
    """Of the Ray cluster, HOST:PORT; empty: the one that this machine belongs to, else one of this command's own."""

    def validate(self) -> None:
        _check("episodes", self.episodes, 1, 10_000_000)
        _check("seed", self.seed, 0, FIRST_TRAINING_SEED - self.episodes)
        _check_temperature(self.temperature)
        _check("num_slots", self.num_slots, 1, 1_000_000)
        _check("num_workers", self.num_workers, 0, 1024)
        _check_backend(self.backend, self.address)


@dataclass(frozen=True)
class FidelityConfig(Config):
    """How true the dream is: the same policies played in both worlds."""

    real_episodes: int = 64
    """Episodes of each policy in the real environment."""
    dream_episodes: int = 256
    """Episodes of each policy in the dream."""
    temperature: float = 0.0
    """The dream's temperature; 0 is the agent's own, of the dream that it was trained or scored in."""
    device: Device = field(default="auto", metadata=RUNTIME)
    """Where to dream; auto is the GPU if there is one. The real environment is played on the CPU."""
    num_workers: int = field(default=0, metadata=RUNTIME)
    """Processes that play the real environment; 0 is one per CPU core."""

    def validate(self) -> None:
        _check("real_episodes", self.real_episodes, 2, 1_000_000)
        _check("dream_episodes", self.dream_episodes, 2, 1_000_000)
        _check_temperature(self.temperature)
        _check("num_workers", self.num_workers, 0, 1024)


Player = Literal["human", "agent"]


@dataclass(frozen=True)
class PlayConfig(Config):
    """A window to play or watch in. Everything here can be changed while it is open."""

    world: World = "real"
    """Which world opens first."""
    player: Player = "human"
    """Who acts first."""
    seed: int = 0
    """The first episode's seed; the next ones have S + 1, S + 2, …"""
    temperature: float = 0.0
    """The dream's temperature; 0 is the agent's own, of the dream that it was trained or scored in."""
    device: Device = field(default="cpu", metadata=RUNTIME)
    """Where to dream; a step at a time, the CPU is seldom the slower one. The real environment is played on the CPU."""

    def validate(self) -> None:
        check_seed(self.seed)
        _check_temperature(self.temperature)


@dataclass(frozen=True)
class VideoConfig(Config):
    """A video of the agent, made without a display."""

    world: World = "real"
    """Where the agent plays."""
    steps: int = 500
    """Steps to show; an episode that ends is followed by the next seed's."""
    seed: int = 0
    """The first episode's seed."""
    grid: int = 1
    """Episodes side by side, each with its own seeds; with more than one, only the world's own picture is shown of each."""
    temperature: float = 0.0
    """The dream's temperature; 0 is the agent's own, of the dream that it was trained or scored in."""
    device: Device = field(default="cpu", metadata=RUNTIME)
    """Where to dream; a step at a time, the CPU is seldom the slower one. The real environment is played on the CPU."""

    def validate(self) -> None:
        _check("steps", self.steps, 1, 1_000_000)
        _check("grid", self.grid, 1, 64)
        check_seed(self.seed, self.steps * self.grid)
        _check_temperature(self.temperature)


@dataclass(frozen=True)
class Preset(Config):
    """One scale of a task: the settings of every stage."""

    collect: CollectConfig
    vae: VAEConfig
    encode: EncodeConfig
    rnn: RNNConfig
    controller: ControllerConfig
    evaluate: EvaluateConfig

    def with_sizes(self, latent_size: int, hidden_size: int, num_mixtures: int) -> Self:
        """Returns the same settings for a V and an M of these sizes."""
        rnn = dataclasses.replace(self.rnn, hidden_size=hidden_size, num_mixtures=num_mixtures)
        return dataclasses.replace(self, vae=dataclasses.replace(self.vae, latent_size=latent_size), rnn=rnn)

    def on(self, **place: str) -> Self:
        """Returns the same settings elsewhere: ``device``, ``backend``, ``address``, in every stage that has such a setting.

        Raises:
            UserError: they do not go together.
        """

        def placed(stage: Any) -> Any:
            return dataclasses.replace(stage, **{name: value for name, value in place.items() if hasattr(stage, name)})

        preset = type(self)(**{f.name: placed(getattr(self, f.name)) for f in dataclasses.fields(self)})
        preset.validate()
        return preset

    @classmethod
    def from_dict(cls, data: Any, where: str) -> Self:
        """Builds all stages' settings; every stage must be there. Raises `UserError`."""
        if not isinstance(data, dict):
            raise UserError(f"{where}: expected a table of stages, found {type(data).__name__}")
        kinds = get_type_hints(cls)
        for key in data:
            if key not in kinds:
                raise UserError(f"{where}: unknown stage '{key}'{nearest(str(key), kinds)}")
        for key in kinds:
            if key not in data:
                raise UserError(f"{where}: the stage '{key}' is missing")
        return cls(**{key: kind.from_dict(data[key], f"{where}: {key}") for key, kind in kinds.items()})

    def to_dict(self) -> dict[str, Any]:
        """Returns all stages' settings as JSON-ready values."""
        return {f.name: getattr(self, f.name).to_dict() for f in dataclasses.fields(self)}

    def validate(self) -> None:
        for f in dataclasses.fields(self):
            getattr(self, f.name).validate()
