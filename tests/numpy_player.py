"""Plays the shipped CarRacing agent without this package: a model's folder is read, and V, M and C computed, by NumPy alone."""

import json
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np


def read(path):  # safetensors: the header's length, the header, then the numbers
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    header = {k: v for k, v in json.loads(data[8:start]).items() if k != "__metadata__"}
    kinds = {"F16": np.float16, "F32": np.float32}
    cut = {k: data[start + v["data_offsets"][0] : start + v["data_offsets"][1]] for k, v in header.items()}
    return {k: np.frombuffer(cut[k], kinds[v["dtype"]]).reshape(v["shape"]).astype(np.float32) for k, v in header.items()}


def averaging(size, target=64):  # [64, size]: the share of each pixel in each cell
    edges = np.arange(target + 1) * size / target
    low, high = edges[:-1, None], edges[1:, None]
    pixel = np.arange(size)
    return np.float32(np.clip(np.minimum(high, pixel + 1) - np.maximum(low, pixel), 0, None) * target / size)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def play(folder, seed):
    v, m, c = (read(folder / f"{name}.safetensors") for name in ("vae", "rnn", "controller"))
    env = gym.make("CarRacing-v3", lap_complete_percent=0.95)
    frame, _ = env.reset(seed=seed)
    h, cell, total, over = np.zeros(256), np.zeros(256), 0.0, False
    random, rows, columns = np.random.default_rng([seed, 1]), averaging(84), averaging(96)
    while not over:
        x = np.round(columns @ np.tensordot(rows, frame[:84], 1)) / np.float32(255)  # [64, 64, 3]
        for layer in range(4):  # 4×4 convolutions of stride 2, ReLU
            windows = np.lib.stride_tricks.sliding_window_view(x, (4, 4), (0, 1))[::2, ::2]
            weight, bias = v[f"encoder.{layer}.weight"], v[f"encoder.{layer}.bias"]
            x = np.maximum(windows.reshape(*windows.shape[:2], -1) @ weight.reshape(len(bias), -1).T + bias, 0)
        mu, logvar = (v[f"{name}.weight"] @ x.ravel() + v[f"{name}.bias"] for name in ("mu", "logvar"))
        steer, gas, brake = np.tanh(c["weight"] @ np.concatenate([mu, h]) + c["bias"])
        action = np.array([steer, (gas + 1) / 2, np.clip(brake, 0, 1)], np.float32)
        z = mu + np.exp(logvar / 2) * random.standard_normal(32, np.float32)
        gates = m["weight_ih"] @ np.concatenate([z, action]) + m["weight_hh"] @ h + m["bias"]
        i, f, g, o = np.split(gates, 4)
        cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(cell)
        frame, reward, terminated, truncated, _ = env.step(action)
        total, over = total + reward, terminated or truncated
    return total


if __name__ == "__main__":
    print(*(play(Path(sys.argv[1]), int(seed)) for seed in sys.argv[2:]))
