"""The usual scales, for a task that names none: C learns in the real environment, which needs nothing of the task."""

from __future__ import annotations

from worldmodels.config import CollectConfig, ControllerConfig, EncodeConfig, EvaluateConfig, Preset, RNNConfig, VAEConfig

SMOKE = Preset(
    collect=CollectConfig(num_episodes=48, episodes_per_shard=4, max_short_steps=0),
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
        sequence_length=100,
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
    evaluate=EvaluateConfig(episodes=12),
)
LAPTOP = Preset(
    collect=CollectConfig(num_episodes=1_200, episodes_per_shard=4, max_short_steps=0),
    vae=VAEConfig(num_steps=6_000, learning_rate=5e-4, final_learning_rate=5e-5),
    encode=EncodeConfig(),
    rnn=RNNConfig(num_steps=4_000, batch_size=32, sequence_length=200, learning_rate=1e-3, final_learning_rate=1e-4),
    controller=ControllerConfig(
        # V's mean, and few directions: CartPole is solved after 15 generations (docs/your_own_environment.md).
        inputs="muh",
        num_components=20,
        world="real",
        temperature=1.0,
        num_generations=50,
        population_size=24,
        episodes_per_candidate=4,
        score_every_generations=5,
        score_episodes=64,
    ),
    evaluate=EvaluateConfig(),
)
PAPER = Preset(
    collect=CollectConfig(episodes_per_shard=4, max_short_steps=0),
    vae=VAEConfig(num_steps=1_000_000),
    encode=EncodeConfig(),
    rnn=RNNConfig(num_steps=4_000, sequence_length=1_000, learning_rate=1e-3, final_learning_rate=1e-4),
    controller=ControllerConfig(world="real", temperature=1.0, num_generations=1_800),
    evaluate=EvaluateConfig(),
)
USUAL = {"smoke": SMOKE, "laptop": LAPTOP, "paper": PAPER}
