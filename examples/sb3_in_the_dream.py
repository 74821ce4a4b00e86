"""Stable-Baselines3's PPO learns to dodge in 256 of M's dreams of TakeCover, and then plays the real game.

    pip install stable-baselines3
    python examples/sb3_in_the_dream.py --json score.json

No frame of the real game is seen in training. PPO sees what C sees: V's z, M's c and h. A choice, left or right, is held for
four steps; a dreamt hit costs its chance. In the real game it chooses anew in every step.
"""

import argparse
import json
import os
import time
from pathlib import Path

import gymnasium as gym
import numpy as np
import torch

import worldmodels as wm

try:
    from stable_baselines3 import PPO
    from stable_baselines3.common.vec_env import VecEnv, VecMonitor, VecNormalize
except ImportError:
    raise SystemExit("this example needs stable-baselines3: 'pip install stable-baselines3' brings it") from None

ACTIONS = np.array([[-1.0], [1.0]], np.float32)  # what the game takes for PPO's 0 and 1: left and right
HOLD_STEPS, GAMMA = 4, 0.97  # of a choice: for how long it is held, and the discount of what comes after it


class Dreams(VecEnv):
    """M's dreams, a Gymnasium vector environment, as Stable-Baselines3 wants them."""

    def __init__(self, num_envs: int) -> None:
        self.dream = wm.load("take-cover").dream(num_envs)
        super().__init__(num_envs, self.dream.single_observation_space, gym.spaces.Discrete(len(ACTIONS)))

    def reset(self):
        return self.dream.reset(seed=self._seeds[0])[0]

    def step_async(self, actions):
        self.actions = ACTIONS[actions]

    def step_wait(self):
        rewards, ended = np.zeros(self.num_envs, np.float32), np.zeros(self.num_envs, bool)
        for _ in range(HOLD_STEPS):
            obs, _, terminated, truncated, info = self.dream.step(self.actions)
            rewards -= info["hit_chance"].numpy() * ~ended
            ended |= terminated | truncated
        # Not to be hit is what is to be learned. So no dream is over for good: where only hits cost, dying would pay.
        infos = [{"terminal_observation": obs[i], "TimeLimit.truncated": True} if ended[i] else {} for i in range(len(obs))]
        if ended.any():
            obs, _ = self.dream.reset(options={"reset_mask": ended})
        return obs, rewards, ended, infos

    def close(self):
        self.dream.close()

    def get_attr(self, attr_name, indices=None):
        return [getattr(self.dream, attr_name, None)] * self.num_envs

    def set_attr(self, attr_name, value, indices=None):
        setattr(self.dream, attr_name, value)

    def env_method(self, method_name, *args, indices=None, **kwargs):
        return [getattr(self.dream, method_name)(*args, **kwargs)]

    def env_is_wrapped(self, wrapper_class, indices=None):
        return [False] * self.num_envs


def play(policy: PPO, normalize: VecNormalize, seeds: range) -> list[float]:
    """Returns what the policy gets in the real game, an episode a seed."""
    env, returns = gym.make("worldmodels/TakeCoverLatent-v1"), []
    for seed in seeds:
        (obs, _), total, ended = env.reset(seed=seed), 0.0, False
        while not ended:
            choice, _ = policy.predict(normalize.normalize_obs(obs), deterministic=True)
            obs, reward, terminated, truncated, _ = env.step(ACTIONS[choice])
            total, ended = total + float(reward), terminated or truncated
        returns.append(total)
    env.close()
    return returns


def main() -> None:
    """Learns, plays and says how well."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dreams", type=int, default=256, help="dreams side by side")
    parser.add_argument("--choices", type=int, default=1_200_000, help="how many PPO learns from")
    parser.add_argument("--episodes", type=int, default=100, help="of the real game; their seeds are in no training")
    parser.add_argument("--json", type=Path, help="where the score is written")
    asked = parser.parse_args()
    if min(asked.dreams, asked.choices, asked.episodes) < 1:
        parser.error("--dreams, --choices and --episodes are at least 1")
    if asked.json:
        try:
            asked.json.open("a").close()  # found now, and not after the training
        except OSError as error:
            parser.error(f"--json {asked.json}: {error.strerror}")

    started = time.perf_counter()
    dreams = VecNormalize(VecMonitor(Dreams(asked.dreams)), gamma=GAMMA)
    settings = {"n_steps": 32, "batch_size": 2048, "n_epochs": 4, "gamma": GAMMA, "device": "cpu", "verbose": 1}
    policy = PPO("MlpPolicy", dreams, learning_rate=lambda left: 1e-3 * left + 1e-5, seed=0, **settings).learn(asked.choices)
    seconds, load = round(time.perf_counter() - started), os.getloadavg()[2]
    returns = play(policy, dreams, range(asked.episodes))
    spread = f" ± {np.std(returns, ddof=1):.0f}" if len(returns) > 1 else ""
    print(f"the real game: {np.mean(returns):.0f}{spread} steps, episodes: {len(returns)}")
    if asked.json:
        learned = {
            "dreams": asked.dreams,
            "choices": policy.num_timesteps,
            "hold_steps": HOLD_STEPS,
            "training_seconds": seconds,
        }
        place = {"cores": os.cpu_count(), "threads": torch.get_num_threads(), "load_average": load}
        asked.json.write_text(json.dumps({**learned, **place, "returns": returns}) + "\n")


if __name__ == "__main__":
    main()
