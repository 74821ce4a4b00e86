"""CarRacing's scales: the settings of every stage."""

from __future__ import annotations

from dataclasses import replace

from worldmodels.config import (
    CollectConfig,
    ControllerConfig,
    EncodeConfig,
    EvaluateConfig,
    Preset,
    RandomPolicyConfig,
    RNNConfig,
    VAEConfig,
)

SMOKE = Preset(
    collect=CollectConfig(num_episodes=48, episodes_per_shard=4, random=RandomPolicyConfig(bias_scale=1.0)),
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
        batch_size=12,
        sequence_length=200,
        learning_rate=3e-3,
        final_learning_rate=3e-4,
        validate_every_steps=150,
        checkpoint_every_steps=100,
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
    collect=CollectConfig(
        num_episodes=1_200,
        episodes_per_shard=4,
        random=RandomPolicyConfig(bias_scale=1.0),
        start_anywhere=True,
        max_episode_steps=400,
    ),
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
# The original's settings, at every point of docs/fidelity.md, with the sizes of the scales above.
ORIGINAL = {
    "smoke": replace(SMOKE, collect=replace(SMOKE.collect, policy="nets", random=RandomPolicyConfig())),
    "laptop": replace(
        LAPTOP,
        collect=CollectConfig(num_episodes=1_200, policy="nets", episodes_per_shard=4),
        controller=replace(LAPTOP.controller, episodes_per_candidate=16, patience_steps=0),
    ),
    "paper": replace(PAPER, rnn=replace(PAPER.rnn, final_learning_rate=1e-3)),
}
