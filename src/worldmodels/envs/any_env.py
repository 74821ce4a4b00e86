"""Any Gymnasium environment as the stages need it: frames uint8 [64, 64, 3], actions float32 [A], nothing else changed."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from worldmodels.base.errors import UserError, WorldModelsError
from worldmodels.base.types import MAX_TASK_NUMBER, Floats, Frame
from worldmodels.config import ReadConfig
from worldmodels.envs.guard import FRAME_SHAPE, frame_fault, said, same_folder
from worldmodels.envs.native_actions import NativeActions
from worldmodels.envs.no_display import no_display
from worldmodels.envs.observations import RENDER, Sight, what_is_seen, without_alpha
from worldmodels.envs.patience import patience

#: The limit of steps, and the steps a second, of an environment that names none.
USUAL_STEPS, USUAL_FPS = 1000, 35


@dataclass(frozen=True)
class Defaults:
    """What an environment says of itself."""

    observation: str
    """What is seen of it (`what_is_seen`); empty: its observations are V's frames already, and its actions C's."""
    choices: tuple[int, ...]
    lows: tuple[float, ...]
    highs: tuple[float, ...]
    max_episode_steps: int
    """In steps of ours, as ``render_fps``."""
    render_fps: int
    solved_at: float | None
    """Its ``reward_threshold``."""


class AnyEnv(gym.Wrapper[Frame, Floats, Any, Any]):
    """Gives V's frames and takes C's actions.

    Args:
        env: made with ``render_mode="rgb_array"`` where ``read.observation`` is 'render'.
        read: with the observation named.
        clip: whether rewards are clipped, where ``read`` says so.
    """

    def __init__(self, env: gym.Env[Any, Any], read: ReadConfig, clip: bool) -> None:
        super().__init__(env)
        where = env.spec.id if env.spec is not None else type(env.unwrapped).__name__
        self._actions = NativeActions(env.action_space, where)
        self._sight = Sight(env.observation_space, read.observation, read)
        self._renders, self._repeats = read.observation == RENDER, range(read.frame_skip)
        self._clip = read.reward_clip if clip else 0.0
        self._where, self._step = where, f"{where}'s step()"
        self._seen: Any = None
        # Gymnasium types a wrapper's space by its array, a Box by its numbers.
        self.action_space = cast(Any, self._actions.space)
        self.observation_space = spaces.Box(0, 255, FRAME_SHAPE, np.uint8)

    def _frame(self, observation: Any) -> Frame:
        if self._renders:
            observation = without_alpha(self.env.render())
            if not isinstance(observation, np.ndarray):
                raise ValueError(
                    f"render() gave a {type(observation).__name__}; it must be a picture, uint8 [rows, columns, 3]"
                )
        self._seen = observation
        return self._sight.frame(self._seen)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Frame, dict[str, Any]]:
        """Begins an episode."""
        with patience(f"{self._where}'s reset()"), no_display():
            observation, info = self.env.reset(seed=seed, options=options)
            return self._frame(observation), info

    def step(self, action: Floats) -> tuple[Frame, float, bool, bool, dict[str, Any]]:
        """Plays ``frame_skip`` steps of the environment, or as many as are left of the episode."""
        native, total = self._actions.native(action), 0.0
        with patience(self._step):
            for _ in self._repeats:
                observation, reward, terminated, truncated, info = self.env.step(native)
                total += float(reward)
                if terminated or truncated:
                    break
            frame = self._frame(observation)
        if self._clip and not math.isnan(total):
            total = min(max(total, -self._clip), self._clip)
        return frame, total, terminated, truncated, info

    def render(self) -> Any:
        """Returns the environment's picture, or, where it renders none, V's frame."""
        if self._renders:
            return self._seen
        return without_alpha(self.env.render()) if self.env.render_mode is not None else self._sight.frame(self._seen)


@same_folder()
def make_any(env_id: str, kwargs: Mapping[str, Any], read: ReadConfig, clip: bool) -> gym.Env[Frame, Floats]:
    """Makes an environment; ``read`` names what is seen of it. Whatever Gymnasium or the environment raises is raised."""
    asked = dict(kwargs)
    if read.observation == RENDER:
        asked["render_mode"] = "rgb_array"
    elif "render_mode" in asked and not _can_render(env_id):
        del asked["render_mode"]
    return AnyEnv(gym.make(env_id, disable_env_checker=True, **asked), read, clip)


_renders: dict[str, bool] = {}


def _can_render(env_id: str) -> bool:
    """Returns whether an environment renders pictures, as far as it says."""
    if env_id not in _renders:
        env = gym.make(env_id, disable_env_checker=True)
        _renders[env_id] = "rgb_array" in (env.metadata.get("render_modes") or ())
        env.close()
    return _renders[env_id]


@same_folder()
def read_defaults(env_id: str, kwargs: Mapping[str, Any], read: ReadConfig) -> Defaults:
    """Makes an environment, without an episode, and returns what it says of itself.

    Raises:
        UserError: there is no such environment, it cannot be made, or V cannot see it or C not act in it.
    """
    read.validate()
    try:
        env = gym.make(env_id, disable_env_checker=True, **kwargs)
    except (WorldModelsError, KeyboardInterrupt):
        raise
    except gym.error.Error as error:
        words = " ".join(str(error).split()).partition(" Did you mean:")[0].rstrip(".")  # without the version
        raise UserError(f"{env_id} cannot be made: {words}{_nearest_id(env_id)}") from error
    except BaseException as error:  # `SystemExit`, and the panics of environments in Rust
        raise UserError(f"{env_id} cannot be made: {said(error)}") from error
    try:
        return _read(env, env_id, read)
    except (WorldModelsError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise UserError(f"{env_id} does not say what it is: {said(error)}") from error
    finally:
        env.close()


def _read(env: gym.Env[Any, Any], env_id: str, read: ReadConfig) -> Defaults:
    """Returns what an environment says of itself. Raises `UserError` where V cannot see it or C not act in it."""
    actions = NativeActions(env.action_space, env_id)
    observation = ""
    if read != ReadConfig() or not _is_ours(env):
        _renders[env_id] = "rgb_array" in (env.metadata.get("render_modes") or ())
        observation = what_is_seen(env.observation_space, read.observation, _renders[env_id], env_id)
    skip = read.frame_skip
    limit = env.spec.max_episode_steps if env.spec is not None else None
    if limit is not None and (limit < 2 or limit // skip > MAX_TASK_NUMBER):
        raise UserError(
            f"an episode of {env_id} has {limit:,} steps at most; it must be 2 to {MAX_TASK_NUMBER:,}: say another limit with "
            f"""--env-kwargs '{{"max_episode_steps": N}}'"""
        )
    if limit is not None and limit // skip < 2:
        raise UserError(f"frame_skip is {skip}; an episode of {env_id} has {limit} steps at most: take {limit // 2} or less")
    fps = env.metadata.get("render_fps")
    solved_at = env.spec.reward_threshold if env.spec is not None else None
    return Defaults(
        observation,
        actions.choices,
        actions.lows,
        actions.highs,
        (limit or USUAL_STEPS * skip) // skip,
        max(1, round((fps if isinstance(fps, int | float) and 1 <= fps < math.inf else USUAL_FPS) / skip)),
        float(solved_at) if solved_at is not None and math.isfinite(solved_at) else None,
    )


def _is_ours(env: gym.Env[Any, Any]) -> bool:
    """Returns whether an environment's frames and actions are V's and C's as they are."""
    seen, done = env.observation_space, env.action_space
    return (
        isinstance(seen, spaces.Box)
        and frame_fault(seen.shape, seen.dtype) is None
        and isinstance(done, spaces.Box)
        and np.issubdtype(done.dtype, np.floating)
        and len(done.shape) == 1
    )


def _nearest_id(env_id: str) -> str:
    """Returns the mend of an id that is not registered."""
    if env_id.split(":")[-1] in gym.registry:
        return ""
    near = difflib.get_close_matches(env_id, gym.registry, n=1, cutoff=0.6)
    if near:
        return f"; did you mean '{near[0]}'?"
    return "; an environment that its package registers when it is imported is named PACKAGE:ID"
