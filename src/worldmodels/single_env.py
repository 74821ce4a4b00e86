"""One slot of a world of features as a Gymnasium environment of its own, for any agent of any library."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from worldmodels.envs.gym_rules import AFTER_THE_END, admitted
from worldmodels.envs.spec import Floats, get_task
from worldmodels.errors import UserError
from worldmodels.models.shipped import model_folder
from worldmodels.models.world_model import Model, load_model
from worldmodels.threads import threads_for
from worldmodels.worlds import World


class SingleEnv(gym.Env[Floats, Floats]):
    """What the dream and the real game have in common as C sees them: spaces, seeds, ends and the rules of Gymnasium.

    Args:
        task: the task's name.
        model: a model's folder, a run's folder or a task's name; None is the agent shipped for the task.
        render_mode: None or ``"rgb_array"``.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 35}

    def __init__(self, task: str, model: str | Path | None, render_mode: str | None) -> None:
        if render_mode not in (None, "rgb_array"):
            raise UserError(f"{type(self).__name__} has no render mode '{render_mode}'; use 'rgb_array'")
        self.render_mode = render_mode
        with threads_for(1):
            loaded = load_model(model_folder(task if model is None else str(model)))
            spec = loaded.world_model.spec
            if spec != get_task(task):
                raise UserError(f"{model}: a model of {spec.name}, not of {task}")
            self._world = self._make_world(loaded)
        self.metadata = {**self.metadata, "render_fps": spec.render_fps}
        self.observation_space = self._world.single_observation_space
        self.action_space = self._world.single_action_space
        self._obs: Floats | None = None
        self._ended = (False, False)

    @abstractmethod
    def _make_world(self, model: Model) -> World:
        """Makes the world, of one slot."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Floats, dict[str, Any]]:
        """Begins an episode; the same seed and actions give the same one."""
        super().reset(seed=seed)
        episode_seed = seed if seed is not None else int(self.np_random.integers(2**31))
        obs, info = self._world.reset(seed=[episode_seed])  # type: ignore[arg-type]
        self._obs, self._ended = np.asarray(obs[0]), (False, False)
        return self._obs.copy(), info

    def step(self, action: Floats) -> tuple[Floats, float, bool, bool, dict[str, Any]]:
        """Plays one step.

        Raises:
            InvalidAction: an action that is not finite or has another shape.
            ResetNeeded: no episode has begun.
        """
        if self._obs is None:
            raise gym.error.ResetNeeded(f"{type(self).__name__}: call reset() before step()")
        action = admitted(action, self.action_space)
        if any(self._ended):
            gym.logger.warn(AFTER_THE_END)
            return self._obs.copy(), 0.0, *self._ended, {}
        obs, rewards, terminated, truncated, infos = self._world.step(action[None])
        self._obs, self._ended = np.asarray(obs[0]), (bool(terminated[0]), bool(truncated[0]))
        info = {name: float(value[0]) for name, value in infos.items()}
        return self._obs.copy(), float(rewards[0]), *self._ended, info

    def close(self) -> None:
        """Closes the game, if there is one."""
        self._world.close()
