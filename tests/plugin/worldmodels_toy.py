"""The toy task: keep a drifting dot on the screen. A package of somebody else's, as far as `worldmodels` can tell.

Installed packages announce tasks through the entry point ``worldmodels.tasks``; the folder beside this file stands for
such an installation.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from worldmodels.config import (
    CollectConfig,
    ControllerConfig,
    DreamPPOConfig,
    EncodeConfig,
    EvaluateConfig,
    Preset,
    RandomPolicyConfig,
    RNNConfig,
    VAEConfig,
)
from worldmodels.envs.registry import register
from worldmodels.envs.task import DataSettings, Departure, Published, Task, Variant

MAX_STEPS = 40


class MovingDot(gym.Env[Any, Any]):
    """A white dot drifts; the action pushes it; off the screen the episode ends. +1 a step.

    Args:
        walls: at the screen's edge the dot costs 50 of its 100 points of health, and is put back into the middle.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}

    def __init__(self, render_mode: str | None = None, walls: bool = False) -> None:
        self._walls, self._health = walls, 100.0
        self.observation_space = spaces.Box(0, 255, (64, 64, 3), np.uint8)
        self.action_space = spaces.Box(-1, 1, (1,), np.float32)
        self.render_mode = render_mode
        self._x, self._drift, self._steps = 32.0, 0.0, 0
        self._reach = (32.0, 32.0)

    def _observe(self) -> Any:
        frame = np.zeros((64, 64, 3), np.uint8)
        x = int(np.clip(self._x, 4, 59))
        frame[28:36, x - 4 : x + 4] = 255
        return frame

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._x, self._steps, self._health = float(self.np_random.uniform(20, 44)), 0, 100.0
        self._drift = float(self.np_random.choice([-2.0, 2.0]))
        self._reach = (self._x, self._x)
        return self._observe(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._x += self._drift + 4.0 * float(action[0]) + float(self.np_random.normal(0, 0.5))
        self._steps += 1
        self._reach = (min(self._reach[0], self._x), max(self._reach[1], self._x))
        terminated, info = not 4 <= self._x <= 59, {}
        if self._walls:
            info["damage"] = 50.0 * terminated
            self._x, self._health = 32.0 if terminated else self._x, self._health - info["damage"]
            terminated = self._health <= 0
        return self._observe(), 1.0, terminated, not terminated and self._steps >= MAX_STEPS, info

    def visited(self) -> float:
        return (self._reach[1] - self._reach[0]) / 64

    def render(self) -> Any:
        return None if self.render_mode is None else self._observe()


def random_policy(rng: np.random.Generator, config: RandomPolicyConfig) -> Any:
    return lambda obs: rng.uniform(-1, 1, 1).astype(np.float32)


SMOKE = Preset(
    collect=CollectConfig(num_episodes=12, max_short_steps=3, episodes_per_shard=4, num_workers=1),
    vae=VAEConfig(
        num_steps=20, batch_size=16, learning_rate=1e-3, final_learning_rate=1e-3, held_out_fraction=0.2,
        validate_every_steps=10, checkpoint_every_steps=7,
    ),
    encode=EncodeConfig(batch_size=64),
    rnn=RNNConfig(
        num_steps=30, batch_size=4, sequence_length=12, learning_rate=1e-2, final_learning_rate=1e-3,
        held_out_fraction=0.2, validate_every_steps=15, checkpoint_every_steps=7,
    ),
    controller=ControllerConfig(
        num_generations=4, population_size=6, episodes_per_candidate=3, score_every_generations=2, score_episodes=8,
        num_slots=8, num_workers=1,
    ),
    # Workers take longer to start than the episodes take: who wants them asks for them.
    evaluate=EvaluateConfig(episodes=6, num_slots=3, num_workers=1),
)  # fmt: skip

TOY = Task(
    name="toy",
    summary="a drifting dot, for the tests",
    env_id="worldmodels-toy/MovingDot-v0",
    dream_id="worldmodels-toy/MovingDotDream-v0",
    latent_size=4,
    hidden_size=8,
    action_size=1,
    max_episode_steps=MAX_STEPS,
    presets={"smoke": SMOKE, "laptop": SMOKE},
    restart_input=True,
    dream_reward=1.0,
    visited_kwargs={},
    variants={"walls": Variant("walls that hurt", {"walls": True})},
    data=DataSettings(random_policy, fixed_actions={"stay": (0.0,), "always left": (-1.0,)}),
    published=Published(solved_at=30),
)
PPO = dataclasses.replace(
    SMOKE.controller,
    num_generations=2,
    ppo_iterations=4,
    # An iteration takes a moment.
    ppo=DreamPPOConfig(block_slots=16, num_blocks=3, num_choices=5, batch_size=64, critic_units=8, start_stride_steps=5),
)
WALLS = dataclasses.replace(
    TOY,
    name="toy-walls",
    summary="a drifting dot between walls that hurt, for the tests",
    env_id="worldmodels-toy/WalledDot-v0",
    dream_id="worldmodels-toy/WalledDotDream-v0",
    hit_damages=(50.0,),
    mirrored_action=(-1.0,),
    controller_bias=False,
    presets={"smoke": dataclasses.replace(SMOKE, controller=PPO)},
    departures=(
        Departure("nothing", "what no scale has otherwise", ("encode",)),
        Departure("hits", "M learns hits", ("rnn.end_target", "rnn.dream_end")),
        Departure("search", "PPO", ("controller",)),
    ),
    recipes={
        "original": {
            "smoke": dataclasses.replace(SMOKE, rnn=dataclasses.replace(SMOKE.rnn, end_target="deaths", dream_end="compared"))
        }
    },
)

for spec, walls in ((TOY, False), (WALLS, True)):
    gym.register(spec.env_id, entry_point="worldmodels_toy:MovingDot", kwargs={"walls": walls})
    register(spec)
