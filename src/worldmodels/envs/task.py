"""What the rest of the package needs to know of a task. No torch here.

A new environment is one file: a Gymnasium environment, and `worldmodels.register(Task(name, env_id))`; whatever else a task
says has a default. A package of its own announces that file through the entry-point group ``worldmodels.tasks``. `envs.check`
says what is wrong with it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import gymnasium as gym
import numpy as np

from worldmodels.base.errors import UserError, nearest
from worldmodels.base.types import Floats, Frame
from worldmodels.config import BEST_RECIPE, OWN_FRAMES, Preset, RandomPolicyConfig, ReadConfig
from worldmodels.envs import presets
from worldmodels.envs.any_env import USUAL_FPS, USUAL_STEPS, Defaults, make_any, read_defaults
from worldmodels.envs.choices import Choose
from worldmodels.envs.guard import GuardedEnv
from worldmodels.envs.held_random import RandomPolicy, held_random_policy, same_action
from worldmodels.envs.native_actions import Within

#: The name of the look that is none: the game itself.
PLAIN = "plain"


def same_env(env: gym.Env[Any, Any]) -> gym.Env[Frame, Floats]:
    """The official environment gives frames of 64×64 by itself."""
    return env


@dataclass(frozen=True)
class PublishedScore:
    """A score that the task's table shows beside ours, with its source."""

    who: str
    """Who scored it, in a few words."""
    mean: float
    """The mean return."""
    std: float = math.nan
    """The standard deviation of an episode's return; NaN: nobody has said."""
    world: Literal["dream", "real"] = "real"
    """Where it was played."""


@dataclass(frozen=True)
class Published:
    """What others have reached, for the tables and the pictures."""

    solved_at: float | None = None
    """The mean return over 100 episodes at which the task counts as solved; None: nobody has said."""
    scores: tuple[PublishedScore, ...] = ()
    """Figures of the paper."""
    robustness: Mapping[str, tuple[PublishedScore, ...]] = field(default_factory=dict)
    """Of agents that had learned the plain game: what they scored on it (``"plain"``) and on its variants, by name."""


@dataclass(frozen=True)
class Departure:
    """A change that lies between the recipe ``original`` and ``best``."""

    name: str
    """Of the row's folder."""
    label: str
    """What is changed, for the table."""
    settings: tuple[str, ...]
    """The settings that are changed: ``STAGE.NAME``, or ``STAGE`` for all of a stage."""


@dataclass(frozen=True)
class Frames:
    """A way of making V's frames that is not the task's own."""

    env_kwargs: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of ``gymnasium.make`` beside the task's own, where it has no official environment or training's is played."""
    official_wrapper: Callable[[gym.Env[Any, Any]], gym.Env[Frame, Floats]] | None = None
    """In place of the task's, where there is an official environment."""


@dataclass(frozen=True)
class Variant:
    """Another look of a task's environment: its pictures differ, and nothing else."""

    summary: str
    """What is different, in a few words."""
    env_kwargs: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of ``gymnasium.make`` beside the task's own, where it has no official environment or training's is played."""
    official_id: str = ""
    """In place of the task's, where there is an official environment; empty: the task's own."""
    official_kwargs: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of ``gymnasium.make`` for the official environment, likewise."""


@dataclass(frozen=True)
class DataSettings:
    """How data is made before there is an agent."""

    policy: Callable[[np.random.Generator, RandomPolicyConfig], RandomPolicy] | None = None
    """Makes the random policy of one episode from that episode's own generator; None: random actions, each held for a while,
    through the task's ``squash`` (`held_random_policy`)."""
    start_anywhere_kwargs: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of ``gymnasium.make`` that let episodes start at random places; empty where there are none."""
    fixed_actions: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """The environment's actions that, taken for ever, tell whether a dream is true (``worldmodels fidelity``), by name."""


@dataclass(frozen=True)
class PlaySettings:
    """How a person plays it (``worldmodels play``)."""

    keys: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """What a key adds to the environment's action, by pygame's name of the key."""
    key_ramp: float = 2.0
    """How far a person's action moves towards what the keys say in one step, each component."""
    ease: Callable[[Floats, Floats, gym.Env[Any, Any] | None], Floats] | None = None
    """In the window, in place of ``key_ramp``, which the page in a browser takes: the action before, what the keys say and the
    environment (None in the dream) → the action, float32 [A] each."""
    names: tuple[str, ...] = ()
    """What each component of the environment's action is, in a word or two, A in all; of chosen actions what each option is.
    Empty: numbers."""
    render_fps: int = USUAL_FPS
    """Steps per second of real time, in the window and in videos. Left at 35, it is the environment's own where that is asked
    for what the task does not say."""


@dataclass(frozen=True)
class Task:
    """A task: what its environment is, how a person plays it, how random data is made, and what others have reached.

    Example:
        >>> import worldmodels as wm
        >>> task = wm.tasks()["car-racing"]
        >>> isinstance(task, wm.Task), task.action_size, task.published.solved_at, task.gym_id("Dream")
        (True, 3, 900, 'worldmodels/CarRacingDream-v0')
        >>> env = task.make_env()
        >>> frame, _ = env.reset(seed=0)
        >>> frame.shape, frame.dtype
        ((64, 64, 3), dtype('uint8'))
    """

    name: str
    """The task's name on the command line and in folders' names: letters, digits, ``-``, ``_`` and ``.``."""
    env_id: str
    """The Gymnasium id of what training plays."""
    summary: str = ""
    """One line for ``worldmodels tasks``."""
    read: ReadConfig = field(default_factory=ReadConfig)
    """How the environment is read where its frames and actions are not V's and C's as they are: what is seen, cropped,
    repeated and clipped."""
    action_size: int = 0
    """A, the number of action components; 0: the environment is asked (docs/your_own_environment.md). Where it is given, the
    environment gives uint8 frames [64, 64, 3] and takes float32 actions [A] by itself."""
    squash: Callable[[Floats], Floats] = same_action
    """Maps C's outputs, float32 [..., A] in [-1, 1], to the environment's actions, float32 [..., A]; needed where
    ``action_size`` is given and these are not [-1, 1]."""
    choices: tuple[int, ...] = ()
    """Where actions are chosen and not set: how many options each choice has, A in all. C has an output an option; an action
    is the chosen ones, one-hot, side by side (``squash`` is then `choices.Choose`)."""
    max_episode_steps: int = 0
    """The episode is truncated after this many steps, in both worlds; 0: the environment's own limit, else 1000."""
    env_kwargs: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of ``gymnasium.make`` for training and for scores."""
    env_threads: int = 1
    """Threads of a process that step environments side by side: more than one where a step waits for another process."""
    official_id: str = ""
    """The Gymnasium id that scores are taken on, where training plays a faster copy of it; else empty."""
    official_wrapper: Callable[[gym.Env[Any, Any]], gym.Env[Frame, Floats]] = same_env
    """Makes frames of 64×64 of the official environment's observations."""
    mirrored_action: tuple[float, ...] = ()
    """What a mirror makes of each action component: -1 where left and right change places, else 1; empty: the task is not the
    same in a mirror."""
    watched_kwargs: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of ``gymnasium.make`` with which the environment also answers questions about its objects, for measuring alone
    (``worldmodels probe``): its ``answers()`` returns bool [S] for each row of questions, by name, in a mirror in reverse.
    Empty: it cannot."""
    visited_kwargs: Mapping[str, Any] | None = None
    """Arguments of ``gymnasium.make`` with which the environment also tells where it has been, for measuring alone
    (``worldmodels table curiosity``): its ``visited()`` returns the share of the track or of the room that the episode has
    seen so far. None: it cannot."""
    hit_damages: tuple[float, ...] = ()
    """What a hit may cost of a full health of 100, each as likely as the others; the environment's info then has ``damage``,
    what a step has cost. M's done head learns hits in place of terminations, the dream keeps the health. Empty: no health."""
    dream_reward: float | None = None
    """The reward of every step of the dream, where it is the same for all; None: M predicts the reward."""
    dream_id: str = ""
    """The Gymnasium id of the single-environment dream; empty: made of the name, ``worldmodels/TakeCoverDream-v0``."""
    latent_id: str = ""
    """The Gymnasium id of the real game as C sees it; empty: made of the name, ``worldmodels/TakeCoverLatent-v1``, with the
    version of ``env_id``."""
    latent_size: int = 32
    """Z, the size of V's latent where neither the scale nor the run names another."""
    hidden_size: int = 256
    """H, the size of M's hidden and cell states, likewise."""
    num_mixtures: int = 5
    """K, the Gaussians per latent dimension, likewise."""
    restart_input: bool = False
    """Whether M is told the first step of an episode."""
    done_head: bool = True
    """Whether M predicts termination, or, with ``hit_damages``, hits. Without it a dream ends at ``max_episode_steps`` only."""
    controller_bias: bool = True
    """Whether C has biases."""
    data: DataSettings = field(default_factory=DataSettings)
    """How random data is made."""
    play: PlaySettings = field(default_factory=PlaySettings)
    """How a person plays it."""
    published: Published = field(default_factory=Published)
    """What others have reached."""
    presets: Mapping[str, Preset] = field(default_factory=lambda: presets.USUAL)
    """The scales, smoke, laptop and paper: the settings of every stage."""
    recipes: Mapping[str, Mapping[str, Preset]] = field(default_factory=dict)
    """Other settings of the same scales, by name, such as those of the original; ``presets`` are the recipe ``best``."""
    departures: tuple[Departure, ...] = ()
    """The changes from the recipe ``original`` to ``best``, in the order of ``worldmodels table departures``; with all of them
    one is the other."""
    frames: Mapping[str, Frames] = field(default_factory=dict)
    """Other ways of making V's frames, by name."""
    frames_name: str = OWN_FRAMES
    """Which of them this is (`seeing`); own: none."""
    variants: Mapping[str, Variant] = field(default_factory=dict)
    """Other looks of the environment, by name: what an agent of the plain one is worth on them (``worldmodels table
    robustness``)."""
    variant: str = ""
    """Which of them this is (`varied`); empty: none."""

    def __repr__(self) -> str:
        """Short, since a prompt shows it: all settings of all scales come to thousands of characters."""
        return f"Task(name={self.name!r}, env_id={self.env_id!r}, scales={list(self.presets)})"

    def gym_id(self, kind: Literal["Dream", "Latent"]) -> str:
        """Returns the Gymnasium id of the dream, or of the real game as C sees it."""
        given = self.dream_id if kind == "Dream" else self.latent_id
        words = "".join(word[:1].upper() + word[1:] for word in re.split(r"[-_.]", self.name))
        version = re.search(r"-v(\d+)$", self.env_id)
        number = version.group(1) if kind == "Latent" and version else "0"
        return given or f"worldmodels/{words}{kind}-v{number}"

    def random_policy(self, rng: np.random.Generator, config: RandomPolicyConfig) -> RandomPolicy:
        """Makes the random policy of one episode of the data from that episode's own generator."""
        if self.data.policy is not None:
            return self.data.policy(rng, config)
        return held_random_policy(rng, config, self.action_size, self.squash)

    def seeded_random_policy(self, seed: int, config: RandomPolicyConfig | None = None) -> RandomPolicy:
        """Makes the random policy of the episode with a seed, where it plays for its score or to be looked at.

        The same seed gives the same actions wherever it plays; none of the data's episodes has its generator.
        """
        return self.random_policy(np.random.default_rng([seed, 3]), config or RandomPolicyConfig())

    @property
    def is_complete(self) -> bool:
        """Whether nothing is left to be asked of the environment (`completed`)."""
        return bool(self.action_size and self.max_episode_steps)

    @property
    def reward_head(self) -> bool:
        """Whether M predicts the reward, which is then the dream's."""
        return self.dream_reward is None

    def make_env(self, official: bool = False, **kwargs: Any) -> gym.Env[Frame, Floats]:
        """Makes one environment, the official one or the one that training plays, cut at ``max_episode_steps`` and guarded
        (`GuardedEnv`), without Gymnasium's passive checker."""
        if not self.is_complete:
            return completed(self).make_env(official, **kwargs)
        asked = {**self.env_settings(official), "max_episode_steps": self.max_episode_steps, **kwargs}
        if self.read.observation:
            asked["max_episode_steps"] *= self.read.frame_skip
            env = make_any(self.score_id(official), asked, self.read, clip=not official)
            return GuardedEnv(env, self.name, bool(self.hit_damages))
        env = gym.make(self.score_id(official), disable_env_checker=True, **asked)
        wrapped = self.official_wrapper(env) if official and self.official_id else env
        return GuardedEnv(wrapped, self.name, bool(self.hit_damages))

    def score_id(self, official: bool) -> str:
        """Returns the Gymnasium id of what is played. Raises `UserError` for a task of recordings alone."""
        if not self.env_id:
            raise UserError(f"{self.name}: a task of recordings alone, without a real environment; M's dream is --world dream")
        if official and self.official_id:
            return (self.variant and self.variants[self.variant].official_id) or self.official_id
        return self.env_id

    def seeing(self, frames: str) -> Task:
        """Returns the task with V's frames made in another of its ways. Raises `UserError` with the nearest match."""
        if frames == self.frames_name:
            return self
        if frames not in self.frames:
            raise UserError(f"{self.name} has no frames '{frames}'{nearest(frames, [OWN_FRAMES, *self.frames])}")
        wrapper = self.frames[frames].official_wrapper or self.official_wrapper
        return replace(self, official_wrapper=wrapper, frames_name=frames)

    def env_settings(self, official: bool = False) -> dict[str, Any]:
        """Returns the arguments of ``gymnasium.make`` for what is played."""
        on_official = bool(official and self.official_id)
        settings = dict(self.env_kwargs)
        if self.frames_name != OWN_FRAMES and not on_official:
            settings |= self.frames[self.frames_name].env_kwargs
        if self.variant:
            varied = self.variants[self.variant]
            settings |= varied.official_kwargs if on_official else varied.env_kwargs
        return settings

    def varied(self, variant: str) -> Task:
        """Returns the task with another look, of `PLAIN` or an empty name without any. Raises `UserError` with the nearest
        match."""
        if variant == PLAIN:
            return replace(self, variant="")
        if variant and not self.variants:
            raise UserError(f"{self.name} has no variants, and so none called '{variant}'")
        if variant and variant not in self.variants:
            raise UserError(f"{self.name} has no variant '{variant}'{nearest(variant, [PLAIN, *self.variants])}")
        return replace(self, variant=variant)

    def preset(self, scale: str, recipe: str = BEST_RECIPE) -> Preset:
        """Returns the settings of a scale in a recipe, with all sizes in numbers. Raises `UserError` with the nearest match."""
        recipes = {BEST_RECIPE: self.presets, **self.recipes}
        if recipe not in recipes:
            raise UserError(f"{self.name} has no recipe '{recipe}'{nearest(recipe, recipes)}")
        scales = recipes[recipe]
        if scale not in scales:
            raise UserError(f"{self.name} has no scale '{scale}'{nearest(scale, scales)}")
        found = scales[scale]
        return found.with_sizes(
            found.vae.latent_size or self.latent_size,
            found.vae.width,
            found.rnn.hidden_size or self.hidden_size,
            found.rnn.num_mixtures or self.num_mixtures,
        )


def completed(task: Task) -> Task:
    """Returns a task with nothing left open: what it does not say, its environment is asked, which is made for that, unless
    the task says how many numbers an action has.

    Raises:
        UserError: there is no such environment, it cannot be made, or V cannot see it or C not act in it.
    """
    if task.is_complete:
        return task
    found = None if task.action_size else read_defaults(task.env_id, task.env_kwargs, task.read)
    task = replace(task, max_episode_steps=task.max_episode_steps or (found.max_episode_steps if found else USUAL_STEPS))
    return acting_as(task, found) if found else task


def acting_as(task: Task, found: Defaults) -> Task:
    """Returns a task with the actions and the sight of its environment, which says ``found`` of itself."""
    squash, choices = task.squash, found.choices
    if squash is same_action and choices:
        squash = Choose(choices)
    elif squash is same_action and {(-1.0, 1.0)} != set(zip(found.lows, found.highs, strict=True)):
        squash = Within(found.lows, found.highs)
    return replace(
        task,
        read=replace(task.read, observation=found.observation),
        action_size=len(found.lows),
        squash=squash,
        choices=choices,
        # Episodes may be short, and M reads them one after the other.
        restart_input=task.restart_input or bool(found.observation),
        play=replace(
            task.play,
            keys=task.play.keys or usual_keys(found),
            render_fps=found.render_fps if task.play.render_fps == USUAL_FPS else task.play.render_fps,
        ),
        published=replace(task.published, solved_at=task.published.solved_at or found.solved_at),
    )


def usual_keys(found: Defaults) -> dict[str, tuple[float, ...]]:
    """Returns keys for a person: of one choice the left and right arrows for two options, else the digits from 1 on; of numbers
    the arrows for the first two."""
    size = len(found.lows)
    one_hot = [tuple(float(i == option) for i in range(size)) for option in range(size)]
    if len(found.choices) == 1:
        names = ["left", "right"] if size == 2 else [str(digit) for digit in range(1, 10)]
        return dict(zip(names, one_hot, strict=False))
    if found.choices:
        return {}
    keys = {}
    for index, (less, more) in enumerate((("left", "right"), ("down", "up"))[:size]):
        keys[less] = tuple(found.lows[index] * number for number in one_hot[index])
        keys[more] = tuple(found.highs[index] * number for number in one_hot[index])
    return keys
