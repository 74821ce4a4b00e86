"""A third party's whole task: Gymnasium's Pendulum, seen as 64×64 pixels. All that the task does not say has a default."""

from typing import Any

import gymnasium as gym
from gymnasium.wrappers import AddRenderObservation, TransformObservation

from worldmodels.envs.area_resize import area_resize
from worldmodels.envs.registry import register
from worldmodels.envs.task import Task

FRAMES = gym.spaces.Box(0, 255, (64, 64, 3), "uint8")


def pendulum(render_mode: str | None = None) -> gym.Env[Any, Any]:
    env = AddRenderObservation(gym.make("Pendulum-v1", render_mode="rgb_array"))
    return TransformObservation(env, lambda screen: area_resize(screen, 64), FRAMES)


gym.register("worldmodels-toy/PendulumFromPixels-v1", entry_point=pendulum)
register(Task("pendulum", "worldmodels-toy/PendulumFromPixels-v1", max_episode_steps=200, squash=lambda actions: 2 * actions))
