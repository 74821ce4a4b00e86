"""Looks at a task before any work: its fields, its environment's spaces, a few steps, and its picture.

What is wrong is said in one line, with the mend. What goes wrong later, in mid-episode, is `guard.GuardedEnv`'s business.
"""

from __future__ import annotations

import math
import re
import sys
import warnings
from collections.abc import Iterator
from operator import attrgetter
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from worldmodels.base.errors import EnvironmentFailure, UserError, WorldModelsError
from worldmodels.base.types import MAX_TASK_NUMBER, Floats, Frame
from worldmodels.config import BEST_RECIPE, OWN_FRAMES, Preset, RandomPolicyConfig
from worldmodels.envs.choices import Choose
from worldmodels.envs.guard import frame_fault, said
from worldmodels.envs.held_random import same_action
from worldmodels.envs.task import PLAIN, Task, completed

#: Steps of the environment that are looked at, and the seed of that episode.
NUM_STEPS, SEED = 4, 0
#: A simulator that fails this many times in a row is not bad luck.
MAX_FAILURES = 3

_checked: dict[str, Task] = {}


def check_task(spec: Task) -> None:
    """Makes the task's environments and plays a few steps; a task that is all right is looked at once in a process.

    Raises:
        UserError: a field of the spec, a space, a frame, a reward, the info or the picture is not what the stages need.
        EnvironmentFailure: the environment's simulator keeps failing.
    """
    if _checked.get(spec.name) is spec:
        return
    spec.score_id(official=False)
    spec = completed(spec)
    if fault := next(field_faults(spec), None):
        raise UserError(f"{spec.name}: {fault}")
    with warnings.catch_warnings():
        # Gymnasium's own advice would come beside ours.
        warnings.simplefilter("ignore")
        for official in (False, True) if spec.official_id else (False,):
            _look_until_it_runs(spec, official)
        if spec.data.start_anywhere_kwargs:
            _make(spec, "data.start_anywhere_kwargs", official=False, **spec.data.start_anywhere_kwargs).close()
    _checked[spec.name] = spec


def field_faults(spec: Task) -> Iterator[str]:
    """Yields what is wrong with a spec by itself, without its environment."""
    for name, lowest in (
        ("latent_size", 1),
        ("hidden_size", 1),
        ("action_size", 1),
        ("num_mixtures", 1),
        ("env_threads", 1),
        ("play.render_fps", 1),
        ("max_episode_steps", 2),
    ):
        value = attrgetter(name)(spec)
        if type(value) is not int or not lowest <= value <= MAX_TASK_NUMBER:
            yield f"{name} is {value!r}; it must be a whole number from {lowest} to {MAX_TASK_NUMBER}"
    for name in ("published.solved_at", "play.key_ramp", "dream_reward"):
        value = attrgetter(name)(spec)
        if not _finite([value]) and not (name != "play.key_ramp" and value is None):
            yield f"{name} is {value!r}; it must be a finite number"
    if spec.play.key_ramp <= 0:
        yield f"play.key_ramp is {spec.play.key_ramp}; it must be above 0, or a person's keys do nothing"
    yield from _dream_faults(spec)
    for name, actions in (
        ("mirrored_action", {"mirrored_action": spec.mirrored_action} if spec.mirrored_action else {}),
        ("data.fixed_actions", spec.data.fixed_actions),
        ("play.keys", spec.play.keys),
    ):
        for key, action in actions.items():
            where = name if key == name else f"{name}['{key}']"
            if not _finite(action) or len(action) != spec.action_size:
                yield f"{where} is {action!r}; it must be a tuple of {spec.action_size}, a number for each action component"
    if spec.choices and not (
        all(type(size) is int and size >= 2 for size in spec.choices)
        and sum(spec.choices) == spec.action_size
        and spec.squash == Choose(spec.choices)
    ):
        yield f"choices is {spec.choices!r}; each must have 2 options or more, action_size be their sum, squash Choose(choices)"
    if PLAIN in spec.variants:
        yield f"variants has '{PLAIN}', which is the game itself; use another name"
    if not set(spec.mirrored_action) <= {-1, 1}:
        yield f"mirrored_action is {spec.mirrored_action}; each number must be -1 or 1"
    for name, gym_id in (("dream_id", spec.gym_id("Dream")), ("latent_id", spec.gym_id("Latent"))):
        made = gym.registry.get(gym_id)
        if made is not None and made.kwargs.get("task") != spec.name:
            yield f"{name} is {gym_id}, which is another environment's; give it an id of its own"
    if not spec.presets:
        yield "presets is empty; give at least one scale, such as {'smoke': Preset(...)}"
    for scale, preset in spec.presets.items():
        yield from _preset_faults(spec, scale, preset)
    for recipe, scales in spec.recipes.items():
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", recipe) or recipe == BEST_RECIPE:
            yield f"recipes names {recipe!r}; use letters, digits, '-', '_' and '.'; {BEST_RECIPE} is what presets is"
        for scale, preset in scales.items():
            yield from _preset_faults(spec, scale, preset)


def _dream_faults(spec: Task) -> Iterator[str]:
    """Yields what would make dreams teach C nothing."""
    leave_out = "leave it out, and M learns the reward"
    if spec.dream_reward == 0:
        yield f"dream_reward is 0, and every C would be as good as any other in the dream; {leave_out}"
    if spec.dream_reward is not None and not spec.done_head:
        yield f"dream_reward is the same for every step and done_head is False, so all dreams are worth the same; {leave_out}"
    if spec.hit_damages and not spec.done_head:
        yield "hit_damages needs done_head=True: that head predicts the hits"
    if not _finite(spec.hit_damages or ()) or not all(damage > 0 for damage in spec.hit_damages):
        yield f"hit_damages is {spec.hit_damages!r}; it must be a tuple of numbers above 0, of a full health of 100"


def _preset_faults(spec: Task, scale: str, preset: Preset) -> Iterator[str]:
    """Yields what is wrong with the settings of a scale, for this task."""
    where = f"the scale '{scale}'"
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", scale):
        yield f"presets names the scale {scale!r}; use letters, digits, '-', '_' and '.'"
    if not isinstance(preset, Preset):
        yield f"{where} is a {type(preset).__name__}; it must be a worldmodels.config.Preset"
        return
    try:
        preset.validate()
    except UserError as error:
        yield f"{where}: {error}"
    longest = preset.collect.max_episode_steps or spec.max_episode_steps
    if preset.collect.max_short_steps >= longest:
        yield (
            f"{where}: collect.max_short_steps is {preset.collect.max_short_steps} and episodes have at most {longest} steps: "
            f"all would be dropped; make it smaller (0 keeps all)"
        )
    if preset.collect.frames not in (OWN_FRAMES, *spec.frames):
        yield f"{where}: collect.frames is '{preset.collect.frames}', which frames does not name"
    if preset.rnn.end_target == "hits" and not spec.hit_damages:
        yield f"{where}: rnn.end_target hits needs hit_damages"
    if preset.collect.start_anywhere and not spec.data.start_anywhere_kwargs:
        yield f"{where}: collect.start_anywhere needs data.start_anywhere_kwargs"
    if preset.encode.mirror_episodes and not spec.mirrored_action:
        yield f"{where}: encode.mirror_episodes needs mirrored_action"


def _finite(values: Any) -> bool:
    """Returns whether it is a sequence of finite numbers."""
    return isinstance(values, tuple | list) and all(
        isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) for v in values
    )


def _look_until_it_runs(spec: Task, official: bool) -> None:
    """Looks at an environment, anew where its simulator fails: one may be killed at any time."""
    for attempt in range(1, MAX_FAILURES + 1):
        try:
            return _check_environment(spec, official)
        except EnvironmentFailure as error:
            if attempt == MAX_FAILURES:
                raise
            print(f"{error}; the task is looked at anew, failure {attempt} here", file=sys.stderr, flush=True)


def _check_environment(spec: Task, official: bool) -> None:
    """Makes one environment, plays a few steps of it and looks at its picture (the official one's is never shown)."""
    picture = {} if official else {"render_mode": "rgb_array"}
    try:
        env = _make(spec, "official_id" if official else "env_id", official, **picture)
    except UserError as error:
        if official or not _can_be_made(spec):
            raise
        raise UserError(
            f"{error}; without render_mode='rgb_array' it can: take that argument and give a picture in render(), uint8 "
            f"[rows, columns, 3], for 'play' and 'video'"
        ) from error
    try:
        space = _check_spaces(spec, spec.score_id(official), env)
        _check_actions(spec, space)
        frame, _ = env.reset(seed=SEED)
        action = _random_action(spec, space, frame)
        for _ in range(NUM_STEPS):
            _, _, terminated, truncated, info = env.step(action)
            if spec.hit_damages and "damage" not in info:
                raise UserError(
                    f"{spec.name}: hit_damages is given, and the info of a step has no 'damage'; put into it what the step cost"
                )
            if terminated or truncated:
                break
        if not official:
            env.render()
    finally:
        env.close()


def _make(spec: Task, which: str, official: bool, **kwargs: Any) -> gym.Env[Frame, Floats]:
    """Makes an environment; whatever is raised becomes one line."""
    env_id = spec.score_id(official)
    try:
        return spec.make_env(official, **kwargs)
    except WorldModelsError:
        raise
    except (gym.error.UnregisteredEnv, gym.error.DeprecatedEnv) as error:
        raise UserError(
            f"{spec.name}: {which} {env_id} is not registered with Gymnasium ({' '.join(str(error).split())}); call "
            f"gymnasium.register where the task is registered"
        ) from error
    except Exception as error:
        asked = f" with {kwargs}" if kwargs else ""
        raise UserError(f"{spec.name}: {which} {env_id} cannot be made{asked}: {said(error)}") from error


def _can_be_made(spec: Task) -> bool:
    """Returns whether the environment can be made without a picture."""
    try:
        spec.make_env().close()
    except Exception:
        return False
    return True


def _check_spaces(spec: Task, env_id: str, env: gym.Env[Frame, Floats]) -> spaces.Box:
    """Returns the action space. Raises `UserError` where V cannot see the observations, or C cannot act."""
    where = f"{spec.name}: {env_id}"
    seen, done = env.observation_space, env.action_space
    if not isinstance(seen, spaces.Box):
        raise UserError(
            f"{where}'s observations are {_short(seen)}; V sees pictures, Box(0, 255, (64, 64, 3), uint8): give one in an "
            f"observation wrapper"
        )
    if fault := frame_fault(seen.shape, seen.dtype):
        raise UserError(f"{where}'s observations are {fault}")
    wanted = f"C gives {spec.action_size} float32 numbers"
    if not isinstance(done, spaces.Box):
        raise UserError(
            f"{where}'s actions are {_short(done)}; {wanted}: take a Box of floats and cut its range into the choices, in "
            f"an action wrapper"
        )
    if not np.issubdtype(done.dtype, np.floating):
        raise UserError(f"{where}'s actions are {done.dtype}; {wanted}: take a Box of float32 and round it")
    if done.shape != (spec.action_size,):
        raise UserError(f"{where}'s actions have shape {done.shape} and action_size is {spec.action_size}; make them one size")
    if not done.is_bounded():
        raise UserError(f"{where}'s actions have no bounds ({_short(done)}); give the Box finite ones")
    return done


def _check_actions(spec: Task, space: spaces.Box) -> None:
    """Raises `UserError` where what C or a fixed action does is none of the environment's actions."""
    bounds = f"from {space.low.tolist()} to {space.high.tolist()}"
    if spec.squash is same_action and not (np.all(space.low == -1) and np.all(space.high == 1)):
        raise UserError(
            f"{spec.name}: actions go {bounds}, and C's go from -1 to 1; give a squash that maps these to the others, "
            f"[..., {spec.action_size}] to the same shape"
        )
    size = spec.action_size
    outputs = np.concatenate(
        [[[-1.0] * size, [0.0] * size, [1.0] * size], np.random.default_rng(SEED).uniform(-1, 1, (32, size))]
    )
    outputs = outputs.astype(np.float32)
    try:
        squashed = spec.squash(outputs.copy())
    except Exception as error:
        raise UserError(f"{spec.name}: squash fails on float32 {outputs.shape}: {said(error)}") from error
    if not isinstance(squashed, np.ndarray) or squashed.shape != outputs.shape or squashed.dtype != np.float32:
        raise UserError(f"{spec.name}: squash makes {_what(squashed)} of float32 {outputs.shape}; it must keep type and shape")
    if outside := [row for row in squashed if not space.contains(row)]:
        raise UserError(f"{spec.name}: squash gives {outside[0].tolist()}; the environment's actions go {bounds}")
    for name, action in spec.data.fixed_actions.items():
        if not space.contains(np.array(action, np.float32)):
            raise UserError(f"{spec.name}: data.fixed_actions['{name}'] is {action}; the environment's actions go {bounds}")


def _random_action(spec: Task, space: spaces.Box, frame: Frame) -> Floats:
    """Returns the data's policy's first action. Raises `UserError` where it is none of the environment's."""
    for config in (RandomPolicyConfig(), *(preset.collect.random for preset in spec.presets.values())):
        try:
            action = spec.random_policy(np.random.default_rng(SEED), config)(frame)
        except Exception as error:
            raise UserError(f"{spec.name}: data.policy fails: {said(error)}") from error
        if not isinstance(action, np.ndarray) or action.dtype != np.float32 or action.shape != space.shape:
            raise UserError(f"{spec.name}: data.policy gives {_what(action)}; it must give float32 {space.shape}")
        if not space.contains(action):
            raise UserError(f"{spec.name}: data.policy gives {action.tolist()}, which is not in {_short(space)}")
    return action


def _what(value: Any) -> str:
    return f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"


def _short(space: gym.Space[Any]) -> str:
    """Returns a space in few words."""
    return " ".join(str(space).split())[:120]
