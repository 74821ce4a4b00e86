"""CarRacing: Gymnasium's CarRacing-v3 with its own physics and rules, and a much faster drawing of the state pixels.

Importing this package registers the task; Box2D and pygame are imported when an environment is made.
"""

import functools

import numpy as np

from worldmodels.config import (
    CollectConfig,
    ControllerConfig,
    EncodeConfig,
    EvaluateConfig,
    Preset,
    RNNConfig,
    VAEConfig,
)
from worldmodels.envs.car_racing.official import OfficialFrames
from worldmodels.envs.held_random import held_random_policy
from worldmodels.envs.spec import EnvSpec, Floats, PublishedScore, register

MAX_EPISODE_STEPS = 1000


def squash(actions: Floats) -> Floats:
    """C's outputs [..., 3] in [-1, 1] → steering in [-1, 1], gas (x + 1) / 2, brake x clipped to [0, 1] (the original's)."""
    squashed = actions.copy()
    squashed[..., 1] = (actions[..., 1] + 1) / 2
    squashed[..., 2] = np.clip(actions[..., 2], 0, 1)
    return squashed


SMOKE = Preset(
    collect=CollectConfig(num_episodes=48, episodes_per_shard=4, bias_scale=1.0),
    vae=VAEConfig(num_steps=400, batch_size=32, learning_rate=1e-3, final_learning_rate=1e-4, validate_every_steps=200),
    encode=EncodeConfig(),
    rnn=RNNConfig(
        num_steps=300,
        batch_size=12,
        sequence_length=200,
        learning_rate=3e-3,
        final_learning_rate=3e-4,
        validate_every_steps=150,
    ),
    controller=ControllerConfig(
        world="real",
        temperature=1.0,
        num_generations=4,
        population_size=16,
        episodes_per_candidate=3,
        score_every_generations=4,
        score_episodes=16,
    ),
    # Gymnasium's own environment draws some hundred frames a second: a hundred episodes would take longer than all the rest.
    evaluate=EvaluateConfig(episodes=12),
)
LAPTOP = Preset(
    # Short episodes from anywhere: a random driver leaves the road within seconds, and sees nothing but grass after.
    collect=CollectConfig(num_episodes=1_200, episodes_per_shard=4, bias_scale=1.0, start_anywhere=True, max_episode_steps=400),
    vae=VAEConfig(num_steps=6_000, batch_size=100, learning_rate=5e-4, final_learning_rate=5e-5),
    encode=EncodeConfig(),
    rnn=RNNConfig(
        num_steps=4_000,
        batch_size=32,
        sequence_length=200,
        learning_rate=1e-3,
        final_learning_rate=1e-4,
    ),
    controller=ControllerConfig(
        world="real",
        temperature=1.0,
        num_generations=50,
        episodes_per_candidate=4,
        patience_steps=100,
        score_every_generations=10,
        score_episodes=128,
    ),
    evaluate=EvaluateConfig(),
)
PAPER = Preset(
    collect=CollectConfig(policy="nets", episodes_per_shard=4),
    vae=VAEConfig(num_steps=1_000_000),
    encode=EncodeConfig(),
    rnn=RNNConfig(num_steps=4_000, sequence_length=1_000, learning_rate=1e-3, final_learning_rate=1e-4),
    controller=ControllerConfig(world="real", temperature=1.0, num_generations=1_800),
    evaluate=EvaluateConfig(),
)

register(
    EnvSpec(
        name="car-racing",
        summary="Gymnasium's CarRacing-v3: drive round a track that is new every time",
        env_id="worldmodels/CarRacing-v3",
        dream_id="worldmodels/CarRacingDream-v0",
        official_id="CarRacing-v3",
        official_wrapper=OfficialFrames,
        latent_size=32,
        hidden_size=256,
        action_size=3,
        max_episode_steps=MAX_EPISODE_STEPS,
        solved_at=900,
        random_policy=functools.partial(held_random_policy, action_size=3, squash=squash),
        presets={"smoke": SMOKE, "laptop": LAPTOP, "paper": PAPER},
        squash=squash,
        done_head=True,
        render_fps=50,
        env_kwargs={"lap_complete_percent": 0.95},
        start_anywhere_kwargs={"start_anywhere": True},
        fixed_actions={
            "stand": (0.0, 0.0, 0.0),
            "straight on": (0.0, 0.3, 0.0),
            "always left": (-0.3, 0.3, 0.0),
            "always right": (0.3, 0.3, 0.0),
        },
        keys={"left": (-1.0, 0.0, 0.0), "right": (1.0, 0.0, 0.0), "up": (0.0, 1.0, 0.0), "down": (0.0, 0.0, 0.8)},
        key_ramp=0.1,
        published=(
            PublishedScore("paper, V only", 632, 251),
            PublishedScore("paper, V and a hidden layer", 788, 141),
            PublishedScore("paper, V and M", 906, 21),
        ),
    )
)
