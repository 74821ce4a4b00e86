"""How fast an environment that was not made for us steps through ``--env``, beside a wrapper made by hand for it alone."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

from benchmarks.stages.timing import Row, Work, rates
from worldmodels.base.types import Floats, Frame
from worldmodels.config import ReadConfig
from worldmodels.envs.any_env import make_any, read_defaults
from worldmodels.envs.area_resize import area_resize

#: Steps of a repetition.
STEPS = 200
#: What is measured: an environment that renders, with a choice, and one that gives pictures, with numbers to set.
ENVS = ("CartPole-v1", "CarRacing-v3")


class ByHand(gym.Wrapper[Frame, Floats, Any, Any]):
    """What somebody would write for one of them, and no more."""

    def __init__(self, env: gym.Env[Any, Any], renders: bool) -> None:
        super().__init__(env)
        self._renders = renders

    def _frame(self, observation: Any) -> Frame:
        return area_resize(self.env.render() if self._renders else observation, 64)  # type: ignore[arg-type]

    def reset(self, **kwargs: Any) -> tuple[Frame, dict[str, Any]]:
        """Begins an episode."""
        observation, info = self.env.reset(**kwargs)
        return self._frame(observation), info

    def step(self, action: Floats) -> tuple[Frame, float, bool, bool, dict[str, Any]]:
        """Plays a step."""
        native: Any = int(action.argmax()) if self._renders else action
        observation, reward, terminated, truncated, info = self.env.step(native)
        return self._frame(observation), float(reward), terminated, truncated, info


def measure_foreign(env_id: str, seconds: float) -> Row:
    """Environment steps/s, resets included."""
    found = read_defaults(env_id, {}, ReadConfig())
    renders = found.observation == "render"
    kwargs: dict[str, Any] = {"render_mode": "rgb_array"} if renders else {}
    by_hand = ByHand(gym.make(env_id, disable_env_checker=True, **kwargs), renders)
    ours = make_any(env_id, {}, ReadConfig(observation=found.observation), clip=True)
    actions = np.random.default_rng(0).uniform(found.lows, found.highs, (STEPS, len(found.lows))).astype(np.float32)

    def stepping(env: gym.Env[Any, Any]) -> Work:
        def work() -> float:
            env.reset(seed=0)
            for action in actions:
                _, _, terminated, truncated, _ = env.step(action)
                if terminated or truncated:
                    env.reset()
            return float(STEPS)

        return work

    try:
        value, baseline = rates([stepping(ours), stepping(by_hand)], [seconds, seconds])
    finally:
        ours.close()
        by_hand.close()
    note = "any environment's adapter; baseline: a wrapper made by hand for this one"
    return Row("", f"--env {env_id}", value, "steps/s", note, baseline)
