"""One slot of a world of features as a Gymnasium environment of its own, for any agent of any library."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils import EzPickle

from worldmodels.agent.agent import Agent
from worldmodels.agent.load import load
from worldmodels.base.errors import UserError
from worldmodels.base.types import Floats, Frame
from worldmodels.envs.gym_rules import AFTER_THE_END, admitted
from worldmodels.envs.registry import get_task
from worldmodels.runtime.threads import threads_for
from worldmodels.worlds.dream_env import DreamEnv
from worldmodels.worlds.latent_env import LatentEnv
from worldmodels.worlds.pixel_envs import PixelEnvs
from worldmodels.worlds.world import World


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
            loaded = load(task if model is None else model)
            spec = loaded.task
            if spec != get_task(task).seeing(spec.frames_name):
                raise UserError(f"{model}: a model of {spec.name}, not of {task}")
            self._world = self._make_world(loaded)
        self.metadata = {**self.metadata, "render_fps": spec.play.render_fps}
        self.observation_space = self._world.single_observation_space
        self.action_space = self._world.single_action_space
        self._obs: Floats | None = None
        self._ended = (False, False)

    @abstractmethod
    def _make_world(self, agent: Agent) -> World:
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


class SingleDreamEnv(SingleEnv):
    """The dream as an environment of its own: ``gymnasium.make("worldmodels/TakeCoverDream-v0")``.

    ### Action Space
    The real environment's. What lies outside is clipped; what is not finite or has another shape is refused
    (`gymnasium.error.InvalidAction`).

    ### Observation Space
    ``Box(-inf, inf, (F,), float32)``: what the model's C sees; [z, c, h] of 64 + 512 + 512 for TakeCover, [z, h] of 32 + 256
    for CarRacing, unless C was trained on other inputs.

    ### Rewards
    +1 a step for TakeCover; what M expects for CarRacing.

    ### Starting State
    The first frame of a recorded episode, drawn by the seed.

    ### Episode End
    Terminated when M's done head says so, or when its hits have used up the health; truncated after the real environment's
    limit of steps. A step after the end warns, moves nothing and gives 0.

    ### Arguments
    - ``model``: a model's folder, a run's folder with a finished controller, or a task's name: its shipped agent, which is also
      what it is by default.
    - ``temperature``: how uncertain the dream is, 0.01 to 10; None is the agent's own, of the dream that it was trained or
      scored in. The attribute of the same name says which it is.
    - ``dropout``: the share of M that is left out, 0 to 0.9, by one mask an episode, drawn by its seed.
    - ``render_mode``: ``"rgb_array"`` gives frames decoded by V, uint8 [64, 64, 3].

    ### Threads
    It takes one of torch's threads while it works; the caller's number is as it was afterwards. Forked processes may make one.

    ### Version History
    - v0: first.
    """

    def __init__(
        self,
        task: str,
        model: str | Path | None = None,
        temperature: float | None = None,
        render_mode: str | None = None,
        dropout: float = 0.0,
    ) -> None:
        self._asked_temperature, self._dropout = temperature, dropout
        super().__init__(task, model, render_mode)

    def _make_world(self, agent: Agent) -> DreamEnv:
        self._dream = agent.dream(1, self._asked_temperature, self._dropout)
        self.temperature = self._dream.temperature
        return self._dream

    def render(self) -> Frame | None:
        """Returns the current frame as V decodes it, in render mode ``rgb_array``."""
        return None if self.render_mode is None else self._dream.decode()[0]


class SingleLatentEnv(SingleEnv, EzPickle):
    """The real game as C sees it: ``gymnasium.make("worldmodels/TakeCoverLatent-v1")``.

    What an agent that learned in the dream is scored on: the same spaces, the real game's rewards and ends.

    ### Action Space
    The real environment's. What lies outside is clipped; what is not finite or has another shape is refused
    (`gymnasium.error.InvalidAction`).

    ### Observation Space
    The dream's (`SingleDreamEnv`), ``Box(-inf, inf, (F,), float32)``: what V makes of the frame and M of the past.

    ### Rewards
    The real environment's.

    ### Starting State
    The real environment's; the same seed begins the same episode.

    ### Info
    ``damage`` alone.

    ### Episode End
    The real environment's. A step after the end warns, moves nothing and gives 0.

    ### Arguments
    - ``model``: as in the dream; the task's shipped agent by default.
    - ``official``: True plays the official environment where training plays a faster copy of it: Gymnasium's own CarRacing-v3.
    - ``render_mode``: ``"rgb_array"`` gives the game's own picture.

    A copy by ``pickle`` or ``copy.deepcopy`` begins anew, with a game of its own. Threads are as in the dream.

    ### Version History
    - v1 (TakeCover), v3 (CarRacing): numbered as the real environment.
    """

    def __init__(
        self, task: str, model: str | Path | None = None, official: bool = False, render_mode: str | None = None
    ) -> None:
        EzPickle.__init__(self, task, model, official, render_mode)
        self._official = official
        super().__init__(task, model, render_mode)

    def _make_world(self, agent: Agent) -> LatentEnv:
        kwargs = {} if self.render_mode is None else {"render_mode": self.render_mode}
        self._env: gym.Env[Frame, Floats] = agent.task.make_env(self._official, **kwargs)
        return LatentEnv(PixelEnvs([self._env]), agent.world_model, agent.inputs)

    def render(self) -> Any:
        """Returns the game's picture, in render mode ``rgb_array``."""
        return None if self.render_mode is None else self._env.render()
