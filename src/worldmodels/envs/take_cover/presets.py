"""TakeCover's scales: the settings of every stage."""

from __future__ import annotations

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
    # Holds of up to 40 steps let M see what standing still and running into a wall lead to; C finds out first otherwise.
    collect=CollectConfig(num_episodes=500, random=RandomPolicyConfig(bias_scale=1.2, max_hold_steps=40)),
    vae=VAEConfig(num_steps=700, batch_size=32, learning_rate=1e-3, final_learning_rate=1e-4, validate_every_steps=350),
    encode=EncodeConfig(),
    rnn=RNNConfig(
        num_steps=330,
        batch_size=32,
        sequence_length=100,
        learning_rate=3e-3,
        final_learning_rate=3e-4,
        validate_every_steps=165,
    ),
    # Along principal components: in 8 generations every weight by itself gets nowhere.
    controller=ControllerConfig(
        inputs="zch",
        num_generations=8,
        population_size=128,
        episodes_per_candidate=2,
        num_components=64,
        sigma=0.3,
        score_every_generations=4,
        score_episodes=64,
    ),
    evaluate=EvaluateConfig(),
)
LAPTOP = Preset(
    collect=CollectConfig(
        num_episodes=7_000, random=RandomPolicyConfig(bias_scale=1.2, min_action_scale=0.0, max_hold_steps=30)
    ),
    # Small batches: as many updates as the paper's batch of 100 would make in three times the frames. A distant fireball is a
    # pixel or two: the quartic term makes V care, and the tolerance leaves it room to say so.
    vae=VAEConfig(
        num_steps=14_000,
        batch_size=32,
        learning_rate=5e-4,
        final_learning_rate=5e-5,
        validate_every_steps=1_000,
        kl_tolerance=2.0,
        quartic_weight=25.0,
    ),
    encode=EncodeConfig(mirror_episodes=7_000),
    rnn=RNNConfig(
        num_steps=7_000,
        batch_size=32,
        sequence_length=128,
        learning_rate=1e-3,
        final_learning_rate=1e-4,
        validate_every_steps=1_000,
        done_weight=3.0,
    ),
    controller=ControllerConfig(inputs="zch", ppo_iterations=26, num_generations=0),
    evaluate=EvaluateConfig(),
)
PAPER = Preset(
    collect=CollectConfig(),
    vae=VAEConfig(num_steps=320_000),
    encode=EncodeConfig(),
    rnn=RNNConfig(num_steps=12_800, learning_rate=1e-3, final_learning_rate=8.8e-4),
    # The original's log rises to here: 843 steps, and 907 at most in the 1,200 generations after.
    controller=ControllerConfig(inputs="zch", num_generations=600),
    evaluate=EvaluateConfig(),
)
