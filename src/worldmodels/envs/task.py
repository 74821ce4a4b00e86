"""What the rest of the package needs to know of a task, and the registry of tasks. No torch here.

A new environment is one file: a Gymnasium environment, an `Task`, and `register(spec)`. A package of its own
announces that file through the entry-point group ``worldmodels.tasks``. `envs.check` says what is wrong with it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import gymnasium as gym
import numpy as np

from worldmodels.base.errors import UserError, nearest
from worldmodels.base.types import Floats, Frame
from worldmodels.config import CollectConfig, Preset
from worldmodels.envs import plugins
from worldmodels.envs.guard import GuardedEnv
from worldmodels.runs import recorded

#: What makes the dream a Gymnasium id.
DREAM_ENTRY_POINT = "worldmodels.agent.gym_envs:SingleDreamEnv"


class RandomPolicy(Protocol):
    """A random policy for one episode: called once a step with the frame, uint8 [64, 64, 3]; returns an action, float32 [A]."""

    def __call__(self, obs: Frame) -> Floats: ...


def same_action(actions: Floats) -> Floats:
    """The environment takes what C says as it is."""
    return actions


def same_env(env: gym.Env[Any, Any]) -> gym.Env[Frame, Floats]:
    """The official environment gives frames of 64×64 by itself."""
    return env


@dataclass(frozen=True)
class PublishedScore:
    """A score that the task's table shows beside ours, with its source."""

    who: str
    mean: float
    std: float
    world: Literal["dream", "real"] = "real"


@dataclass(frozen=True)
class Task:
    """A task: its environment, the sizes of V, M and C, and how random data is made.

    Example:
        >>> import worldmodels as wm
        >>> task = wm.tasks()["car-racing"]
        >>> isinstance(task, wm.Task), task.action_size, task.solved_at
        (True, 3, 900)
        >>> env = task.make_env()
        >>> frame, _ = env.reset(seed=0)
        >>> frame.shape, frame.dtype
        ((64, 64, 3), dtype('uint8'))
    """

    name: str
    """The task's name on the command line and in folders' names: letters, digits, ``-``, ``_`` and ``.``."""
    summary: str
    """One line for ``worldmodels tasks``."""
    env_id: str
    """The Gymnasium id of what training plays; the environment gives uint8 frames [64, 64, 3] and takes float32 actions [A]."""
    dream_id: str
    """The Gymnasium id of the single-environment dream; `register` makes it where it is not there."""
    latent_size: int
    """Z, the size of V's latent."""
    hidden_size: int
    """H, the size of M's hidden and cell states."""
    action_size: int
    """A, the number of action components."""
    max_episode_steps: int
    """The episode is truncated after this many steps, in both worlds."""
    solved_at: float
    """The mean return over 100 episodes at which the task counts as solved."""
    random_policy: Callable[[np.random.Generator, CollectConfig], RandomPolicy]
    """Makes the held random policy of one episode of the data, from that episode's own generator."""
    presets: Mapping[str, Preset]
    """The scales: smoke, laptop, paper."""
    official_id: str = ""
    """The Gymnasium id that scores are taken on, where training plays a faster copy of it; else empty."""
    official_wrapper: Callable[[gym.Env[Any, Any]], gym.Env[Frame, Floats]] = same_env
    """Makes frames of 64×64 of the official environment's observations."""
    squash: Callable[[Floats], Floats] = same_action
    """Maps C's outputs, float32 [..., A] in [-1, 1], to the environment's actions; needed unless these are [-1, 1]."""
    controller_bias: bool = True
    """Whether C has biases."""
    mirrored_action: tuple[float, ...] = ()
    """What a mirror makes of each action component: -1 where left and right change places, else 1; empty: the task is not the
    same in a mirror."""
    restart_input: bool = False
    """Whether M is told the first step of an episode."""
    done_head: bool = True
    """Whether M predicts termination, or, with ``hit_damages``, hits. Without it a dream ends at ``max_episode_steps`` only."""
    hit_damages: tuple[float, ...] = ()
    """What a hit may cost of a full health of 100, each as likely as the others; the environment's info then has ``damage``,
    what a step has cost. M's done head learns hits in place of terminations, the dream keeps the health. Empty: no health."""
    dream_reward: float | None = None
    """The reward of every step of the dream, where it is the same for all; None: M predicts the reward."""
    env_threads: int = 1
    """Threads of a process that step environments side by side: more than one where a step waits for another process."""
    render_fps: int = 35
    """Steps per second of real time."""
    num_mixtures: int = 5
    """K, the Gaussians per latent dimension."""
    env_kwargs: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of ``gymnasium.make`` for training and for scores."""
    start_anywhere_kwargs: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of ``gymnasium.make`` that let episodes start at random places; empty where there are none."""
    fixed_actions: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """The environment's actions that, taken for ever, tell whether a dream is true (``worldmodels fidelity``), by name."""
    keys: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """What a person's keys add to the environment's action, by pygame's name of the key (``worldmodels play``)."""
    key_ramp: float = 2.0
    """How far a person's action moves towards what the keys say in one step, each component."""
    published: tuple[PublishedScore, ...] = ()
    """Figures of the paper, for the table."""

    @property
    def reward_head(self) -> bool:
        """Whether M predicts the reward, which is then the dream's."""
        return self.dream_reward is None

    def make_env(self, official: bool = False, **kwargs: Any) -> gym.Env[Frame, Floats]:
        """Makes one environment, the official one or the one that training plays, cut at ``max_episode_steps`` and guarded
        (`GuardedEnv`), without Gymnasium's passive checker."""
        asked = {**self.env_kwargs, "max_episode_steps": self.max_episode_steps, **kwargs}
        env = gym.make(self.score_id(official), disable_env_checker=True, **asked)
        return GuardedEnv(self.official_wrapper(env) if official and self.official_id else env, self.name)

    def score_id(self, official: bool) -> str:
        """Returns the Gymnasium id of what is played. Raises `UserError` for a task of recordings alone."""
        if not self.env_id:
            raise UserError(f"{self.name}: a task of recordings alone, without a real environment; M's dream is --world dream")
        return self.official_id if official and self.official_id else self.env_id

    def preset(self, scale: str) -> Preset:
        """Returns the settings of a scale. Raises `UserError` with the nearest match."""
        if scale not in self.presets:
            raise UserError(f"{self.name} has no scale '{scale}'{nearest(scale, self.presets)}")
        return self.presets[scale]


_registry: dict[str, Task] = {}
#: Which module has registered a task.
_modules: dict[str, str] = {}


def register(spec: Task) -> None:
    """Adds a task, and its dream to Gymnasium's ids if it is not there.

    Raises:
        UserError: the name is taken by another task, or would not do in a path.

    Example:
        >>> import dataclasses, worldmodels as wm
        >>> short = dataclasses.replace(wm.tasks()["car-racing"], name="car-racing-short", max_episode_steps=100)
        >>> wm.register(short)
        >>> "car-racing-short" in wm.tasks()
        True
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", spec.name):
        raise UserError(f"a task's name is {spec.name!r}; use letters, digits, '-', '_' and '.'")
    caller = str(sys._getframe(1).f_globals.get("__name__"))
    if _registry.get(spec.name, spec) != spec:
        both = " and by ".join(f"'{plugins.package_of(module)}'" for module in (_modules[spec.name], caller))
        raise UserError(f"the task '{spec.name}' is registered twice, by {both}; rename one of them")
    if spec.dream_id not in gym.registry:
        gym.register(spec.dream_id, entry_point=DREAM_ENTRY_POINT, kwargs={"task": spec.name})
    _registry[spec.name] = spec
    _modules.setdefault(spec.name, caller)


def tasks() -> dict[str, Task]:
    """Returns all tasks by name: ours, and those that installed packages announce. Broken packages are named and left out.

    Example:
        >>> import worldmodels as wm
        >>> {"car-racing", "take-cover"} <= set(wm.tasks())
        True
    """
    plugins.load()
    return dict(sorted(_registry.items()))


def get_task(name: str) -> Task:
    """Returns a task by name. Raises `UserError` with the nearest match, or with what is wrong with the task's package."""
    if name not in _registry and name in recorded.known:
        from worldmodels.envs.recorded import recorded_task

        register(recorded_task(recorded.known[name]))
    if name not in _registry:
        # What announces this very name is imported alone; others' games cost time, and may be broken.
        plugins.load(name)
    if name not in _registry and name not in tasks():
        raise UserError(plugins.why_missing(name) or f"there is no task '{name}'{nearest(name, _registry)}")
    return _registry[name]
