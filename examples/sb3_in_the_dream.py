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
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecEnv, VecMonitor, VecNormalize

import worldmodels as wm

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
        infos = [{} for _ in ended]
        if ended.any():
            # What is learned is not to be hit: to PPO no dream is over for good, or it would be glad of the end.
            for slot in np.flatnonzero(ended):
                infos[slot] = {"terminal_observation": obs[slot], "TimeLimit.truncated": True}
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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dreams", type=int, default=256, help="dreams side by side")
    parser.add_argument("--choices", type=int, default=3_000_000, help="how many PPO learns from, of four steps each")
    parser.add_argument(
        "--episodes", type=int, default=100, help="of the real game, with seeds from 0 on, which no training uses"
    )
    parser.add_argument("--seed", type=int, default=0, help="of PPO and of the dreams")
    parser.add_argument("--json", type=Path, help="where the score is written")
    asked = parser.parse_args()

    started = time.perf_counter()
    dreams = VecNormalize(VecMonitor(Dreams(asked.dreams)), gamma=GAMMA)
    policy = PPO(
        "MlpPolicy",
        dreams,
        n_steps=32,
        batch_size=2048,
        n_epochs=4,
        gamma=GAMMA,
        seed=asked.seed,
        verbose=1,
        device="cpu",
        learning_rate=lambda left: 1e-3 * left + 1e-5,
    )
    policy.learn(asked.choices)
    trained = time.perf_counter()
    returns = play(policy, dreams, range(asked.episodes))
    played = time.perf_counter()
    mean, std = float(np.mean(returns)), float(np.std(returns, ddof=1))
    print(f"the real game: {mean:.0f} ± {std:.0f} steps over {len(returns)} episodes")
    if asked.json:
        seconds = {"training": round(trained - started), "playing": round(played - trained)}
        facts = {"seed": asked.seed, "dreams": asked.dreams, "choices": policy.num_timesteps, "hold_steps": HOLD_STEPS}
        place = {"cores": os.cpu_count(), "threads": torch.get_num_threads(), "load_average": os.getloadavg()[2]}
        scores = {"num_episodes": len(returns), "mean": mean, "std": std, "returns": returns}
        asked.json.write_text(json.dumps({**facts, **scores, "seconds": seconds, **place}) + "\n")


if __name__ == "__main__":
    main()
