"""Doom's HealthGathering and HealthGatheringSupreme as tasks. Importing this package registers them."""

from __future__ import annotations

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
from worldmodels.envs.health_gathering.env import FRAME_SKIP, MAX_TICS
from worldmodels.envs.registry import register
from worldmodels.envs.task import DataSettings, PlaySettings, Task

SMOKE = Preset(
    collect=CollectConfig(num_episodes=60, random=RandomPolicyConfig(max_hold_steps=10), max_short_steps=0),
    vae=VAEConfig(
        num_steps=400,
        batch_size=32,
        learning_rate=1e-3,
        final_learning_rate=1e-4,
        validate_every_steps=200,
        checkpoint_every_steps=100,
    ),
    encode=EncodeConfig(),
    rnn=RNNConfig(
        num_steps=300,
        batch_size=16,
        sequence_length=64,
        learning_rate=3e-3,
        final_learning_rate=3e-4,
        validate_every_steps=150,
        checkpoint_every_steps=100,
    ),
    controller=ControllerConfig(
        num_generations=0,
        ppo_iterations=10,
        ppo=DreamPPOConfig(block_slots=128, num_choices=32, hold_steps=2, batch_size=2048, num_components=128),
        temperature=1.0,
        score_episodes=64,
    ),
    evaluate=EvaluateConfig(episodes=20),
)
LAPTOP = Preset(
    collect=CollectConfig(num_episodes=1_000, random=RandomPolicyConfig(max_hold_steps=10), max_short_steps=0),
    vae=VAEConfig(num_steps=6_000, batch_size=32, learning_rate=5e-4, final_learning_rate=5e-5, validate_every_steps=1_000),
    encode=EncodeConfig(),
    rnn=RNNConfig(
        num_steps=4_000,
        batch_size=32,
        sequence_length=100,
        learning_rate=1e-3,
        final_learning_rate=1e-4,
        validate_every_steps=500,
    ),
    controller=ControllerConfig(
        num_generations=0,
        ppo_iterations=40,
        ppo=DreamPPOConfig(block_slots=256, hold_steps=2, num_components=256),
        temperature=1.0,
        score_episodes=256,
    ),
    evaluate=EvaluateConfig(),
)

# An action is what is chosen, one-hot: no turn, left, right; stand, forward. Nothing pressed is neither.
_KEYS = {
    "left": (0.0, 1.0, 0.0, 0.0, 0.0),
    "right": (0.0, 0.0, 1.0, 0.0, 0.0),
    "up": (0.0, 0.0, 0.0, 0.0, 1.0),
}
for _name, _id, _where in (
    ("health-gathering", "HealthGathering", "a room whose floor burns"),
    ("health-gathering-supreme", "HealthGatheringSupreme", "a maze whose floor burns, with poison in it"),
):
    register(
        Task(
            name=_name,
            summary=f"Doom's {_id}: find medikits in {_where}; survive",
            env_id=f"worldmodels/{_id}-v0",
            max_episode_steps=MAX_TICS // FRAME_SKIP,
            env_threads=2,
            restart_input=True,
            dream_reward=float(FRAME_SKIP),
            visited_kwargs={"mapped": True},
            data=DataSettings(
                fixed_actions={
                    "stand": (1.0, 0.0, 0.0, 1.0, 0.0),
                    "forward": (1.0, 0.0, 0.0, 0.0, 1.0),
                    "turn left": (0.0, 1.0, 0.0, 1.0, 0.0),
                }
            ),
            play=PlaySettings(keys=_KEYS, names=("no turn", "turn left", "turn right", "stand", "forward")),
            presets={"smoke": SMOKE, "laptop": LAPTOP},
        )
    )
