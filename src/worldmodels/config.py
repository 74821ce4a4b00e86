"""What a run is asked to do: one frozen dataclass per stage, each checked before any work starts.

The docstring under a field is its help text on the command line; `Bounds` say where a number must lie, here and in that help.
Fields marked ``RUNTIME`` change how fast a stage runs and never what it writes, so they stay out of its fingerprint.

A stage's settings may be grouped (`RandomPolicyConfig`, `PlaceConfig`, `DreamPPOConfig`). The groups are for the code: in
files, in fingerprints and on the command line a stage has one flat table of settings.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self, get_args, get_type_hints

from worldmodels.base.errors import UserError, nearest
from worldmodels.base.seeding import FIRST_TRAINING_SEED

RUNTIME = {"runtime": True}
#: Names what the fingerprint has by its hash, among the stage's inputs: the name itself stays out of it.
BY_HASH = {"runtime": True}
#: Who does the work and where it is kept meanwhile: a matter of one command, which no file of the run remembers.
PLACE = {"runtime": True, "place": True}
#: Settings that older runs did not have: at their default value they stay out of the fingerprint, so that those runs go on.
ADDED = {"added": True}
#: Sizes, where 0 stands for the task's own: older runs, which did not have them as settings, had those.
OWN = {"added": True, "own": True}

Backend = Literal["local", "ray"]
World = Literal["dream", "real"]
ScoreWorld = Literal["same", "dream", "real"]
DataPolicy = Literal["held", "nets", "agent", "curious"]
#: What C sees: V's latent z or its mean mu, and M's states h (hidden) and c (cell); "z+hidden": z through 40 tanh units.
ControllerInputs = Literal["z", "z+hidden", "zh", "zch", "mu", "muh"]
AgentKind = Literal["trained", "random"]
#: What a search in the dream seeks: the game's reward, or what M does not know.
Seeks = Literal["reward", "uncertainty", "loss"]
Curiosity = Literal["uncertainty", "loss"]
#: The same of the rounds of `worldmodels iterate`; no: their data is the agent's own.
Explore = Literal["no", "uncertainty", "loss"]
Optimizer = Literal["cma", "openes", "pepg", "ses", "simple-ga"]
#: What M's end head learns. "own": hits where the task says what they cost, else deaths.
EndTarget = Literal["own", "deaths", "hits"]
#: How the end head ends a dream. "own": hits are drawn, deaths are compared.
DreamEnd = Literal["own", "compared", "drawn"]
Device = Literal["auto", "cpu", "cuda"]
#: Where a training shows its curves.
LogKind = Literal["tensorboard", "wandb", "trackio"]


#: How a task's frames are made where nobody asks for another way, and the recipe where nobody asks for another.
OWN_FRAMES, BEST_RECIPE = "own", "best"


def of_recipe(recipe: str) -> str:
    """Returns what the name of a folder ends in: nothing for the usual recipe."""
    return "" if recipe == BEST_RECIPE else f"-{recipe}"


def _check(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:  # refuses NaN too
        raise UserError(f"{name} is {value}; it must lie between {as_written(low)} and {as_written(high)}")


def as_written(number: float) -> str:
    """Returns a number as people write it: 1,073,741,824 and 0.5 and 1e-8."""
    if number == int(number):
        return f"{int(number):,}"
    return f"{number:g}".replace("e-0", "e-")


@dataclass(frozen=True)
class Bounds:
    """Where a number must lie, both ends included."""

    low: float
    high: float
    or_zero: bool = False
    """0 is allowed too, and stands for something else."""

    def __str__(self) -> str:
        return f"{as_written(self.low)} to {as_written(self.high)}" + ", or 0" * self.or_zero

    def check(self, name: str, value: float) -> None:
        """Raises `UserError` for a value outside, NaN included."""
        if not (self.or_zero and value == 0):
            _check(name, value, self.low, self.high)


def bounds_of(kind: type) -> dict[str, Bounds]:
    """Returns the bounds of a dataclass's fields, by name; fields without bounds are left out."""
    hints = get_type_hints(kind, include_extras=True)
    return {name: part for name, hint in hints.items() for part in get_args(hint) if isinstance(part, Bounds)}


#: No seed is above it.
MAX_SEED = 2**31 - 1
SEEDS = Bounds(0, MAX_SEED)
ROUNDS = Bounds(1, 1_000)
#: Of the dream.
TEMPERATURES = Bounds(0.01, 10)
#: Of the dream; 0 is the agent's own.
TEMPERATURES_OR_OWN = Bounds(0.01, 10, or_zero=True)
#: The share of M that a mask leaves out.
DROPOUTS = Bounds(0, 0.9)
WORKERS = Bounds(0, 1024)
STEPS = Bounds(1, 100_000_000)
TRAINING_STEPS = Bounds(0, 100_000_000)
#: Where steps are what ends a search.
UNLIMITED_GENERATIONS = 1_000_000
LEARNING_RATES = Bounds(1e-8, 1)
SLICES = Bounds(1, 1024)


def check_seed(seed: int, num_seeds: int = 1) -> None:
    """Raises `UserError` unless the seed, and as many from it on as are used, are such that every library here takes them."""
    _check("seed", seed, 0, MAX_SEED - num_seeds + 1)


def check_rounds(rounds: int) -> None:
    """Raises `UserError` for a senseless number of rounds."""
    ROUNDS.check("rounds", rounds)


class Setting(NamedTuple):
    """A setting of a stage, wherever it is grouped: its name in files and on the command line, its value, and its field's
    default and marks."""

    name: str
    value: Any
    default: Any
    marks: Mapping[str, Any]

    @property
    def first_name(self) -> str:
        """Its name in the fingerprint: the one that it had first, so that a renamed setting is the same one."""
        return str(self.marks.get("formerly", self.name))


@dataclass(frozen=True)
class Config:
    """Common to all stages: JSON in and out, with every key and type checked."""

    prefix: ClassVar[str] = ""
    """Begins the names of a group's settings in files and on the command line."""
    gone: ClassVar[Mapping[str, Any]] = {}
    """Settings of older runs that are none any more, with the value that today's code stands for: still in the fingerprint."""

    def settings(self) -> Iterator[Setting]:
        """Yields the settings, those of the groups in their places; what marks a group marks all that is in it."""
        for f in dataclasses.fields(self):
            value = getattr(self, f.name)
            if isinstance(value, Config):
                for inner in value.settings():
                    yield inner._replace(marks={**f.metadata, **inner.marks})
            else:
                yield Setting(self.prefix + f.name, value, f.default, f.metadata)

    def to_dict(self) -> dict[str, Any]:
        """Returns the settings as JSON-ready values, but for those that are marked ``PLACE``."""
        return {setting.name: setting.value for setting in self.settings() if not setting.marks.get("place")}

    def fingerprint_fields(self) -> dict[str, Any]:
        """Returns the settings that decide the stage's result, by their first names."""
        decisive = {
            setting.first_name: setting.value
            for setting in self.settings()
            if not setting.marks.get("runtime") and not (setting.marks.get("added") and setting.value == setting.default)
        }
        return {**decisive, **self.gone}

    @classmethod
    def kinds(cls) -> dict[str, Any]:
        """Returns the type of every setting, by its name in files."""
        found: dict[str, Any] = {}
        hints = get_type_hints(cls)
        for f in dataclasses.fields(cls):
            kind = hints[f.name]
            found |= kind.kinds() if _is_group(kind) else {cls.prefix + f.name: kind}
        return found

    @classmethod
    def _made_of(cls, values: Mapping[str, Any]) -> Self:
        """Returns the configuration, groups and all, with these settings, by their names in files."""
        hints = get_type_hints(cls)
        own: dict[str, Any] = {}
        for f in dataclasses.fields(cls):
            if _is_group(hints[f.name]):
                own[f.name] = hints[f.name]._made_of(values)
            elif cls.prefix + f.name in values:
                own[f.name] = values[cls.prefix + f.name]
        return cls(**own)

    @classmethod
    def named_today(cls, data: Mapping[str, Any], where: str) -> dict[str, Any]:
        """Returns settings of an older run by today's names, without those that have gone.

        Raises:
            UserError: one that has gone had another value than today's code stands for, or one has two values.
        """
        names = {setting.first_name: setting.name for setting in cls().settings()}
        found: dict[str, Any] = {}
        for name, value in data.items():
            if name in cls.gone:
                if value != cls.gone[name]:
                    raise UserError(
                        f"{where}: '{name}' is {value!r}, which has gone; this version goes on with {cls.gone[name]!r} alone: "
                        f"use another --run"
                    )
                continue
            today = names.get(name, name)
            if today in found:
                raise UserError(f"{where}: '{today}' is there twice; '{name}' is its older name")
            found[today] = value
        return found

    @classmethod
    def from_dict(cls, data: Any, where: str) -> Self:
        """Builds the configuration from JSON values, also an older run's; ``where`` names the source in errors.

        Raises:
            UserError: on an unknown key, a value of the wrong type or one out of range.
        """
        if not isinstance(data, dict):
            raise UserError(f"{where}: expected a table of settings, found {type(data).__name__}")
        kinds, data = cls.kinds(), cls.named_today(data, where)
        for key, value in data.items():
            if key not in kinds:
                raise UserError(f"{where}: unknown setting '{key}'{nearest(str(key), kinds)}")
            kind = kinds[key]
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
        config = cls._made_of(data)
        config.validate()
        return config

    def validate(self) -> None:
        """Raises `UserError` when a value lies outside its bounds, or two values do not go together."""
        bounds = bounds_of(type(self))
        for f in dataclasses.fields(self):
            value = getattr(self, f.name)
            if isinstance(value, Config):
                value.validate()
            elif f.name in bounds and value is not None:
                bounds[f.name].check(self.prefix + f.name, value)


def _is_group(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Config)


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


@dataclass(frozen=True)
class PlaceConfig(Config):
    """Where the real environment is played: a matter of one command, which no file of the run remembers."""

    backend: Backend = "local"
    """Who plays the real environment: processes of this machine, or of a Ray cluster (docs/cluster.md)."""
    address: str = ""
    """Of the Ray cluster, HOST:PORT; empty: the one that this machine belongs to, else one of this command's own."""

    def validate(self) -> None:
        super().validate()
        if self.address and self.backend != "ray":
            raise UserError(f"address is {self.address}, and the backend is {self.backend}; use --backend ray")


@dataclass(frozen=True)
class RandomPolicyConfig(Config):
    """The data's random policy: an action drawn from U(-1, 1), held for a while."""

    max_hold_steps: Annotated[int, Bounds(1, 10_000)] = 10
    """The random action is held for 1 to this many steps."""
    bias_scale: Annotated[float, Bounds(0, 10)] = 0.0
    """Half of the episodes add a constant drawn from U(-b, b) to every action; 0 is the original's policy."""
    min_action_scale: Annotated[float, Bounds(0, 1)] = field(default=1.0, metadata={"formerly": "min_spread"})
    """Those episodes scale their actions by a factor from U(this, 1): with 0 some hardly change their action."""


@dataclass(frozen=True)
class CollectConfig(Config):
    """Episodes in the real environment, of a random policy or of the previous run's agent."""

    num_episodes: Annotated[int, Bounds(2, 10_000_000)] = 10_000
    """Episodes to keep."""
    policy: DataPolicy = "held"
    """held: random actions, each held for a while; nets: V, M and C with random weights, drawn anew for every episode;
    agent: the previous run's agent, or with --from another, with some of the held actions mixed in; curious: likewise a C that
    was searched in the previous run's dream for what M does not know."""
    from_model: str = field(default="", metadata={**BY_HASH, "flag": "from"})
    """agent: who plays where there is no previous run: the agent of a task (the shipped one), of a run's folder or of a model's
    folder."""
    curiosity: Curiosity = field(default="uncertainty", metadata=ADDED)
    """curious: what that C seeks: M's uncertainty, or M's loss, which whatever is left to luck raises, too."""
    explorer_generations: Annotated[int, Bounds(0, 1_000_000)] = field(default=0, metadata=ADDED)
    """curious: generations of its search; 0 is the scale's, or none with explorer_iterations."""
    explorer_iterations: Annotated[int, Bounds(0, 1_000_000)] = field(default=0, metadata=ADDED)
    """curious: iterations of PPO before these; 0 with explorer_generations 0 is the scale's."""
    max_noise: Annotated[float, Bounds(0, 1)] = field(default=0.5, metadata=ADDED)
    """agent and curious: how much of a held random action is mixed in. An episode draws ε from U(0, this) and does
    (1 - ε) · agent + ε · random."""
    frames: str = field(default=OWN_FRAMES, metadata=ADDED)
    """How the task makes V's frames, in this run and wherever its agent plays: own, or one of the task's other ways (take-cover
    has 640x480, the original's screen)."""
    start_anywhere: bool = False
    """Start episodes at random places, where the environment can do that."""
    max_short_steps: Annotated[int, Bounds(0, 100_000)] = 100
    """Episodes of at most this many steps are dropped and played again with another seed (the original's rule)."""
    max_episode_steps: Annotated[int, Bounds(0, 1_000_000)] = field(default=0, metadata=ADDED)
    """Episodes are cut after this many steps; 0 plays them out."""
    random: RandomPolicyConfig = RandomPolicyConfig()
    """held, and what is mixed in with agent and curious: how random actions are drawn."""
    episodes_per_shard: Annotated[int, Bounds(1, 10_000)] = 16
    """Episodes written together: the unit of work, and what a kill can lose."""
    num_workers: Annotated[int, WORKERS] = field(default=0, metadata=RUNTIME)
    """Processes that play; 0 is one per CPU core, two where a step waits for another process (ViZDoom)."""
    place: PlaceConfig = field(default=PlaceConfig(), metadata=PLACE)
    """Who plays the real environment."""
    episodes_url: str = field(default="", metadata=PLACE)
    """Where the workers leave their shards, any fsspec URL; the run's folder gets them from there. Empty: in that folder, which
    all machines must share."""

    def validate(self) -> None:
        super().validate()
        if self.from_model and self.policy != "agent":
            raise UserError(f"--from names the agent that plays, and the policy is {self.policy}; add --policy agent")
        if 0 < self.max_episode_steps <= self.max_short_steps:
            raise UserError(
                f"max_episode_steps is {self.max_episode_steps}; it must be 0 or above max_short_steps, {self.max_short_steps}"
            )


@dataclass(frozen=True)
class GradientConfig(Config):
    """What V and M share: a number of steps of Adam, with the learning rate falling exponentially."""

    from_model: str = field(default="", metadata={**BY_HASH, "flag": "from"})
    """Begin with the weights of another model: a task's name (its shipped agent), a run's folder or a model's folder. Empty:
    with random ones, or the previous run's."""
    num_steps: Annotated[int, TRAINING_STEPS] = 1
    """Gradient steps; 0 leaves the weights as they begin, and takes --from or --previous."""
    batch_size: Annotated[int, Bounds(1, 65_536)] = 100
    """Frames (V) or sequences (M) per step."""
    learning_rate: Annotated[float, LEARNING_RATES] = 1e-4
    """Adam's learning rate at the first step."""
    final_learning_rate: Annotated[float, LEARNING_RATES] = 1e-4
    """Adam's learning rate at the last step."""
    held_out_fraction: Annotated[float, Bounds(0.001, 0.9)] = 0.05
    """Share of the episodes kept for validation."""
    validate_every_steps: Annotated[int, STEPS] = 500
    """Gradient steps between two validations."""
    checkpoint_every_steps: Annotated[int, STEPS] = field(default=500, metadata=RUNTIME)
    """Gradient steps between two checkpoints: what a kill can lose."""
    num_slices: Annotated[int, SLICES] = field(default=2, metadata=ADDED)
    """Slices of a batch, each the work of one thread, so that none waits for another where other programs keep the cores busy.
    Threads that are left over share a slice's operations; small slices take longer. A GPU takes the batch whole."""
    device: Device = field(default="auto", metadata=RUNTIME)
    """Where to compute; auto is the GPU if there is one."""
    log: LogKind = field(default="tensorboard", metadata=PLACE)
    """Where the curves are shown while it trains: RUN/tensorboard, Weights & Biases or Trackio (docs/install.md)."""


#: What V is to make of an augmented frame: the frame as it was recorded, or as V saw it.
AugmentTarget = Literal["plain", "seen"]


@dataclass(frozen=True)
class AugmentConfig(Config):
    """How augmented frames look (`worldmodels.data.augment`)."""

    prefix: ClassVar[str] = "augment_"

    colour: Annotated[float, Bounds(0, 1)] = 0.2
    """Each channel of a pixel becomes itself, and U(-this, this) times each of the three channels and full brightness more."""
    noise: Annotated[float, Bounds(0, 1)] = 0.1
    """Each number of a frame is moved by U(-a, a), in shares of full brightness; a itself is drawn from U(0, this)."""
    boxes: Annotated[int, Bounds(0, 100)] = 2
    """In front of a frame are 0 to this many boxes, each of a colour of its own."""
    box_area: Annotated[float, Bounds(0, 1)] = 0.15
    """The share of the frame that a box covers at most."""


#: V's decoder has 1,024 numbers after its first layer: one for each of the latents, and one for what is always added.
LARGEST_LATENT = 1023
#: The channels of V's layers, as a multiple of the paper's, at most.
WIDEST = 8
LARGEST_HIDDEN, MOST_MIXTURES = 16_384, 100


@dataclass(frozen=True)
class VAEConfig(GradientConfig):
    """V, the convolutional variational autoencoder."""

    latent_size: Annotated[int, Bounds(1, LARGEST_LATENT, or_zero=True)] = field(default=0, metadata=OWN)
    """Z, how many numbers V makes of a frame; 0: as many as the task suggests."""
    width: Annotated[int, Bounds(1, WIDEST)] = field(default=1, metadata=ADDED)
    """So many times the paper's channels in every layer of V; with 2 it has four times the weights and takes nearly as much
    longer."""
    kl_tolerance: Annotated[float, Bounds(0, 100)] = 0.5
    """The KL term is not pushed below this many nats per latent (the original's free bits)."""
    quartic_weight: Annotated[float, Bounds(0, 10_000)] = field(default=0.0, metadata=ADDED)
    """Weight of the quartic pixel error beside the squared one: with 25 a few pixels that are all wrong, such as a distant
    fireball, outweigh many that are slightly wrong; 0 is the original's loss."""
    rare_weight: Annotated[float, Bounds(0, 10_000)] = field(default=0.0, metadata=ADDED)
    """How much more the error of a rare pixel weighs: one that is far from what usually stands in its place, such as that of a
    fireball or a monster; 0 is the original's loss."""
    augment: Annotated[float, Bounds(0, 1)] = field(default=0.0, metadata=ADDED)
    """The share of the frames that V sees augmented, each by a draw of its own; 0: none (docs/ideas.md)."""
    augment_target: AugmentTarget = field(default="plain", metadata=ADDED)
    """What V is to make of an augmented frame: the recorded one (plain), so that it looks past the change, or what it saw
    (seen)."""
    looks: AugmentConfig = field(default=AugmentConfig(), metadata=ADDED)
    """How augmented frames look."""


@dataclass(frozen=True)
class EncodeConfig(Config):
    """All frames through V, once."""

    batch_size: Annotated[int, Bounds(1, 65_536)] = 256
    """Frames per forward pass."""
    mirror_episodes: Annotated[int, Bounds(0, 10_000_000)] = field(default=0, metadata=ADDED)
    """So many of the newest episodes are encoded a second time, as a mirror shows them: M then learns from both (tasks that are
    the same in a mirror, such as take-cover)."""
    augment: Annotated[float, Bounds(0, 1)] = field(default=0.0, metadata=ADDED)
    """The share of the episodes that V sees augmented, with one draw of the look for a whole episode; 0: none
    (docs/ideas.md)."""
    looks: AugmentConfig = field(default=AugmentConfig(), metadata=ADDED)
    """How augmented episodes look."""
    device: Device = field(default="auto", metadata=RUNTIME)
    """Where to compute; auto is the GPU if there is one."""


#: What M is trained with where dreams leave a part of it out and its settings say nothing: the published share.
M_DROPOUT = 0.05


@dataclass(frozen=True)
class RNNConfig(GradientConfig):
    """M, the MDN-RNN."""

    hidden_size: Annotated[int, Bounds(1, LARGEST_HIDDEN, or_zero=True)] = field(default=0, metadata=OWN)
    """H, the size of M's hidden and cell states; 0: what the task suggests."""
    num_mixtures: Annotated[int, Bounds(1, MOST_MIXTURES, or_zero=True)] = field(default=0, metadata=OWN)
    """K, the Gaussians that M mixes for each number of the next latent; 0: as many as the task suggests."""
    sequence_length: Annotated[int, Bounds(1, 100_000)] = 500
    """Time steps between two truncations of back-propagation; the state is carried across."""
    end_target: EndTarget = field(default="own", metadata=ADDED)
    """What M's end head learns: deaths (that the episode ends, the original's), hits (that a step costs health) or own (hits
    where the task says what they cost, else deaths)."""
    dream_end: DreamEnd = field(default="own", metadata=ADDED)
    """What that head does in the dream: compared (its logit is above 0, the original's), drawn (with its chance, and the loss
    keeps the weight out of the logit) or own (hits are drawn, deaths compared)."""
    done_weight: Annotated[float, Bounds(1e-3, 10_000)] = 10.0
    """Weight of a termination, or of a hit, in the done head's cross-entropy (the original's 10); tasks without that head
    ignore it."""
    layer_norm: bool = field(default=False, metadata=ADDED)
    """Layer normalisation of M's gates and of its cell state (a switch of the original's, off there): steadier, and slower."""
    input_dropout: Annotated[float, Bounds(0, 0.9)] = field(default=0.0, metadata=ADDED)
    """The share of M's inputs that a training step leaves out (a switch of the original's, off there; 0.1 where it is on)."""
    recurrent_dropout: Annotated[float, Bounds(0, 0.9)] = field(default=0.0, metadata=ADDED)
    """The same of what a step would write into the cell state."""
    output_dropout: Annotated[float, Bounds(0, 0.9)] = field(default=0.0, metadata=ADDED)
    """The same of the hidden state before the output layer."""
    max_grad_value: Annotated[float, Bounds(1e-6, 1e6)] = 1.0
    """Each gradient element is clipped to ± this value."""

    def with_dropout(self) -> Self:
        """Returns the same training with the dropout of Dropout's Dream Land, where it has none of its own."""
        if self.input_dropout or self.recurrent_dropout:
            return self
        return dataclasses.replace(self, input_dropout=M_DROPOUT, recurrent_dropout=M_DROPOUT)


@dataclass(frozen=True)
class DreamPPOConfig(Config):
    """Proximal policy optimization in the dream (see `worldmodels.search.dream_ppo`)."""

    prefix: ClassVar[str] = "ppo_"

    start_episodes: Annotated[int, Bounds(1, 1_000_000)] = 512
    """Episodes whose states dreams begin at."""
    start_stride_steps: Annotated[int, Bounds(1, 10_000)] = 12
    """Steps of such an episode between two states that dreams begin at."""
    component_rows: Annotated[int, Bounds(2, 10_000_000)] = 65_536
    """At most so many states are looked at for the principal components of what C sees."""
    num_components: Annotated[int, Bounds(1, 100_000)] = 512
    """Components that C and the critic see, the largest ones; the default holds all that is in M's states but noise."""
    num_blocks: Annotated[int, Bounds(1, 1_000)] = 4
    """Blocks of dreams in an iteration."""
    block_slots: Annotated[int, Bounds(2, 100_000)] = 512
    """Dreams of a block, side by side."""
    slots_per_seed: Annotated[int, Bounds(1, 100_000)] = 8
    """Dreams of a block that share their random numbers: to draw these takes as long as to dream."""
    num_choices: Annotated[int, Bounds(1, 10_000)] = 64
    """Choices of an action in a dream."""
    hold_steps: Annotated[int, Bounds(1, 1_000)] = 4
    """Steps for which a choice is held: one step's choice changes next to nothing."""
    gamma: Annotated[float, Bounds(0, 1)] = 0.993
    """Discount of a step. With 0.97, which looks less far ahead, C stops improving earlier."""
    gae_lambda: Annotated[float, Bounds(0, 1)] = 0.95
    """λ of generalized advantage estimation, a choice."""
    num_epochs: Annotated[int, Bounds(1, 1_000)] = 3
    """Passes over the choices of an iteration."""
    batch_size: Annotated[int, Bounds(2, 10_000_000)] = 8192
    """Choices per gradient step."""
    num_slices: Annotated[int, SLICES] = 4
    """Slices of a batch, each the work of one thread. A GPU takes the batch whole."""
    clip_range: Annotated[float, Bounds(1e-3, 1)] = 0.2
    """The ratio of a choice's new chance to its old one is clipped to 1 ± this."""
    learning_rate: Annotated[float, LEARNING_RATES] = 2e-3
    """Adam's learning rate in the first iteration; it falls exponentially."""
    final_learning_rate: Annotated[float, LEARNING_RATES] = 2e-4
    """Adam's learning rate in the last iteration."""
    averaged_fraction: Annotated[float, Bounds(0, 1)] = 1 / 3
    """The result is the mean of C over this share of the iterations, the last ones: the noise of single ones cancels out."""
    critic_iterations: Annotated[int, Bounds(0, 1_000_000)] = 3
    """Iterations at the start in which only the critic learns."""
    critic_units: Annotated[int, Bounds(1, 100_000)] = 128
    """Hidden units of the critic."""
    hit_cost: Annotated[float, Bounds(1e-3, 1e6)] = 10.0
    """What a hit costs, in tasks with hits. With the default the critic's loss is about as large as C's."""
    initial_logit_rms: Annotated[float, Bounds(1e-3, 1_000)] = 3.0
    """Root mean square of C's output before tanh at the start of the search. Where actions are numbers C begins as it is."""
    initial_std: Annotated[float, Bounds(1e-3, 10)] = field(default=0.5, metadata=ADDED)
    """Where actions are numbers: the standard deviation of what is tried around C's output before tanh, in the first iteration;
    it falls exponentially."""
    final_std: Annotated[float, Bounds(1e-3, 10)] = field(default=0.1, metadata=ADDED)
    """The same in the last iteration."""


@dataclass(frozen=True)
class ESConfig(Config):
    """What the optimisers beside CMA-ES need; the defaults are those of the original's training program."""

    prefix: ClassVar[str] = "es_"

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
    """simple-ga: parents live for one generation, however well they did."""


@dataclass(frozen=True)
class UncertaintyConfig(Config):
    """How M's uncertainty is measured: how far its predictions differ (see `worldmodels.models.uncertainty`)."""

    prefix: ClassVar[str] = "uncertainty_"

    masks: Annotated[int, Bounds(2, 100)] = 5
    """So many masks, each of which leaves out another part of M; with 5 a step of the dream takes about four times as long."""
    dropout: Annotated[float, Bounds(0.01, 0.9)] = 0.1
    """The share of M's z input and of what a step would write into the cell state that each mask leaves out."""


@dataclass(frozen=True)
class ControllerConfig(Config):
    """C, the controller, found by an evolution strategy, or by PPO in the dream, or by one after the other."""

    gone: ClassVar[Mapping[str, Any]] = {"memory": "trained"}

    from_model: str = field(default="", metadata={**BY_HASH, "flag": "from"})
    """Begin the search at the C of another model: a task's name (its shipped agent), a run's folder or a model's folder. It may
    see less than this one, such as mu where this one sees muh. Empty: at zeros, or at the previous run's."""
    inputs: ControllerInputs = "zh"
    """What C sees: z (V's latent) or mu (its mean, without the noise of the draw), h and c (M's hidden and cell states);
    z+hidden: z through 40 tanh units."""
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
    retrain_mode, off there)."""
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
        _check("num_generations", self.num_generations, 0 if self.ppo_iterations or self.from_model else 1, 1_000_000)
        self._check_dream()
        if self.num_components and self.optimizer != "cma":
            raise UserError(
                f"num_components is {self.num_components}, and only cma searches along components; the optimizer is "
                f"{self.optimizer}"
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


@dataclass(frozen=True)
class EvaluateConfig(Config):
    """An agent on held-out seeds."""

    world: World = "real"
    """Where the agent plays."""
    agent: AgentKind = "trained"
    """The trained controller, or actions drawn uniformly from the action space."""
    episodes: Annotated[int, Bounds(1, 10_000_000)] = 100
    """Episodes to play; episode i has seed S + i."""
    seed: Annotated[int, Bounds(0, FIRST_TRAINING_SEED - 1)] = 0
    """S, the first seed. Seeds below 2^30 are never used in training."""
    temperature: Annotated[float, TEMPERATURES_OR_OWN] = 0.0
    """The dream's temperature; 0 is the agent's own, of the dream that it was trained or scored in. The real environment has
    none."""
    dream_dropout: Annotated[float, DROPOUTS] = field(default=0.0, metadata=ADDED)
    """The share of M that is left out of the dream, by one mask an episode; the real environment has no such thing."""
    fast: bool = False
    """Play the environment that training uses, where it is a faster copy of the official one."""
    variant: str = field(default="", metadata=ADDED)
    """Another look of the real environment, such as colour or bars of car-racing (docs/ideas.md); empty: the plain one."""
    num_slots: Annotated[int, Bounds(1, 1_000_000)] = field(default=1024, metadata=RUNTIME)
    """Dreams that run side by side."""
    device: Device = field(default="auto", metadata=RUNTIME)
    """Where to dream; auto is the GPU if there is one. The real environment is played on the CPU."""
    num_workers: Annotated[int, WORKERS] = field(default=0, metadata=RUNTIME)
    """Processes that play the real environment; 0 is one per CPU core."""
    place: PlaceConfig = field(default=PlaceConfig(), metadata=PLACE)
    """Who plays the real environment."""

    def in_dream_of(self, search: ControllerConfig) -> Self:
        """Returns the same evaluation in the dream that a C was searched in."""
        return dataclasses.replace(
            self, world="dream", temperature=search.temperature, dream_dropout=search.dream_dropout, variant=""
        )

    def validate(self) -> None:
        super().validate()
        _check("seed", self.seed, 0, FIRST_TRAINING_SEED - self.episodes)
        if self.variant and self.world == "dream":
            raise UserError(f"variant is '{self.variant}' and world is 'dream'; only the real environment has other looks")
        if self.dream_dropout and self.world == "real":
            raise UserError(f"dream_dropout is {self.dream_dropout:g} and world is 'real'; it is a setting of the dream")


@dataclass(frozen=True)
class FidelityConfig(Config):
    """How true the dream is: the same policies played in both worlds."""

    real_episodes: Annotated[int, Bounds(2, 1_000_000)] = 64
    """Episodes of each policy in the real environment."""
    dream_episodes: Annotated[int, Bounds(2, 1_000_000)] = 256
    """Episodes of each policy in the dream."""
    temperature: Annotated[float, TEMPERATURES_OR_OWN] = 0.0
    """The dream's temperature; 0 is the agent's own, of the dream that it was trained or scored in."""
    uncertainty: UncertaintyConfig = UncertaintyConfig()
    """How M's uncertainty is measured."""
    device: Device = field(default="auto", metadata=RUNTIME)
    """Where to dream; auto is the GPU if there is one. The real environment is played on the CPU."""
    num_workers: Annotated[int, WORKERS] = field(default=0, metadata=RUNTIME)
    """Processes that play the real environment; 0 is one per CPU core."""


@dataclass(frozen=True)
class ProbeConfig(Config):
    """What V's mu, M's h and C's features know of the game's objects."""

    episodes: Annotated[int, Bounds(5, 1_000)] = 60
    """Real episodes to look at, with seeds that no training uses; every fifth is held out from the probes that are fitted."""
    every_steps: Annotated[int, Bounds(1, 1_000)] = 4
    """Of an episode, one in so many steps is looked at."""
    seed: Annotated[int, Bounds(0, FIRST_TRAINING_SEED - 1)] = 0
    """S: episode i has seed S + i, and the probes' weights and order derive from S."""
    player: str = ""
    """Whose agent plays: a target such as take-cover. Empty: the target's own, or the random policy where it has no C; played
    by another agent, V alone is measured."""
    device: Device = field(default="auto", metadata=RUNTIME)
    """Where to fit; auto is the GPU if there is one. The game is played on the CPU."""

    def validate(self) -> None:
        super().validate()
        _check("seed", self.seed, 0, FIRST_TRAINING_SEED - self.episodes)


Player = Literal["human", "agent"]


@dataclass(frozen=True)
class WatchConfig(Config):
    """A window to watch the agent in. Everything here but fps can be changed while it is open."""

    world: World = "real"
    """Which world opens first."""
    seed: Annotated[int, SEEDS] = 0
    """The first episode's seed; the next ones have S + 1, S + 2, …"""
    temperature: Annotated[float, TEMPERATURES_OR_OWN] = 0.0
    """The dream's temperature; 0 is the agent's own, of the dream that it was trained or scored in."""
    dream_dropout: Annotated[float, DROPOUTS] = 0.0
    """The share of M that is left out of the dream, by one mask an episode."""
    size: str = field(default="", metadata=RUNTIME)
    """The window's size in pixels, WIDTHxHEIGHT, from 320x240 to 7680x4320; empty: as the pictures need."""
    fps: Annotated[int, Bounds(1, 1000, or_zero=True)] = field(default=0, metadata=RUNTIME)
    """Steps per second; 0 is the task's own speed."""
    device: Device = field(default="cpu", metadata=RUNTIME)
    """Where to dream; a step at a time, the CPU is seldom the slower one. The real environment is played on the CPU."""

    def validate(self) -> None:
        super().validate()
        _ = self.pixels

    @property
    def pixels(self) -> tuple[int, int] | None:
        """The window's (width, height) where a size is asked for. Raises `UserError` for one that is none."""
        if not self.size:
            return None
        found = re.fullmatch(r"(\d{1,6})x(\d{1,6})", self.size)
        width, height = (int(found[1]), int(found[2])) if found else (0, 0)
        if not (320 <= width <= 7680 and 240 <= height <= 4320):
            raise UserError(f"size is '{self.size}'; it must be WIDTHxHEIGHT, from 320x240 to 7680x4320, such as 1280x800")
        return width, height


@dataclass(frozen=True)
class PlayConfig(WatchConfig):
    """A window to play in. Everything here but fps can be changed while it is open."""

    player: Player = "human"
    """Who acts first."""


@dataclass(frozen=True)
class VideoConfig(Config):
    """A video of the agent, made without a display."""

    world: World = "real"
    """Where the agent plays."""
    steps: Annotated[int, Bounds(1, 1_000_000)] = 500
    """Steps to show; an episode that ends is followed by the next seed's."""
    seed: Annotated[int | None, SEEDS] = None
    """The first episode's seed. Left out it is 0, and in the dream that of the first 16 whose dream moves most,
    from where it does."""
    grid: Annotated[int, Bounds(1, 64)] = 1
    """Episodes side by side, each with its own seeds; with more than one, only the world's own picture is shown of each."""
    temperature: Annotated[float, TEMPERATURES_OR_OWN] = 0.0
    """The dream's temperature; 0 is the agent's own, of the dream that it was trained or scored in."""
    dream_dropout: Annotated[float, DROPOUTS] = 0.0
    """The share of M that is left out of the dream, by one mask an episode."""
    device: Device = field(default="cpu", metadata=RUNTIME)
    """Where to dream; a step at a time, the CPU is seldom the slower one. The real environment is played on the CPU."""

    def validate(self) -> None:
        super().validate()
        check_seed(self.seed or 0, self.steps * self.grid)


@dataclass(frozen=True)
class Preset(Config):
    """One scale of a task: the settings of every stage."""

    collect: CollectConfig
    vae: VAEConfig
    encode: EncodeConfig
    rnn: RNNConfig
    controller: ControllerConfig
    evaluate: EvaluateConfig

    def with_sizes(self, latent_size: int, width: int, hidden_size: int, num_mixtures: int) -> Self:
        """Returns the same settings for a V and an M of these sizes."""
        rnn = dataclasses.replace(self.rnn, hidden_size=hidden_size, num_mixtures=num_mixtures)
        return dataclasses.replace(self, vae=dataclasses.replace(self.vae, latent_size=latent_size, width=width), rnn=rnn)

    def on(self, **place: str) -> Self:
        """Returns the same settings elsewhere: ``device``, ``backend``, ``address``, ``log``, in every stage that has them.

        Raises:
            UserError: they do not go together.
        """

        def placed(config: Any) -> Any:
            own = {f.name: getattr(config, f.name) for f in dataclasses.fields(config)}
            groups = {name: placed(value) for name, value in own.items() if isinstance(value, Config)}
            return dataclasses.replace(config, **groups, **{name: place[name] for name in own if name in place})

        preset: Self = placed(self)
        preset.validate()
        return preset

    @classmethod
    def from_dict(cls, data: Any, where: str) -> Self:
        """Builds all stages' settings; every stage must be there. Raises `UserError`."""
        if not isinstance(data, dict):
            raise UserError(f"{where}: expected a table of stages, found {type(data).__name__}")
        hints = get_type_hints(cls)
        kinds = {f.name: hints[f.name] for f in dataclasses.fields(cls)}
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
