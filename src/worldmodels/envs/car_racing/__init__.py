"""Gymnasium's CarRacing-v3 with its own physics and rules, and a much faster drawing of the state pixels.

Importing this package registers ``worldmodels/CarRacing-v3``; Box2D and pygame are imported when one is made.
"""

import gymnasium as gym

gym.register(
    "worldmodels/CarRacing-v3",
    entry_point="worldmodels.envs.car_racing.env:CarRacingEnv",
    max_episode_steps=1000,
    reward_threshold=900,
)
