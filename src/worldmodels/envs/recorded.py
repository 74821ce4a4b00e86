"""The task of recordings alone: no environment; its actions are those of the recordings."""

from __future__ import annotations

import functools

from worldmodels.base.errors import UserError, nearest
from worldmodels.config import CollectConfig, ControllerConfig, EncodeConfig, EvaluateConfig, Preset, RNNConfig, VAEConfig
from worldmodels.envs.choices import Choose
from worldmodels.envs.native_actions import Within
from worldmodels.envs.task import Task
from worldmodels.runs.recorded import RecordedTask

#: An episode of the dream is scored here: there is nowhere else.
EVALUATE = EvaluateConfig(world="dream")
PRESETS = {
    "smoke": Preset(
        collect=CollectConfig(),
        vae=VAEConfig(num_steps=400, batch_size=32, learning_rate=1e-3, validate_every_steps=200, checkpoint_every_steps=100),
        encode=EncodeConfig(),
        rnn=RNNConfig(
            num_steps=300,
            batch_size=16,
            sequence_length=100,
            learning_rate=3e-3,
            final_learning_rate=3e-4,
            checkpoint_every_steps=100,
        ),
        controller=ControllerConfig(
            num_generations=8, population_size=16, episodes_per_candidate=4, score_every_generations=4, score_episodes=64
        ),
        evaluate=EVALUATE,
    ),
    "laptop": Preset(
        collect=CollectConfig(),
        vae=VAEConfig(num_steps=6_000, learning_rate=5e-4, final_learning_rate=5e-5),
        encode=EncodeConfig(),
        rnn=RNNConfig(num_steps=4_000, batch_size=32, sequence_length=200, learning_rate=1e-3, final_learning_rate=1e-4),
        controller=ControllerConfig(num_generations=50),
        evaluate=EVALUATE,
    ),
}


def check_scale(scale: str) -> None:
    """Raises `UserError` for a scale that no task of recordings has."""
    if scale not in PRESETS:
        raise UserError(f"a task of recordings has no scale '{scale}'{nearest(scale, PRESETS)}")


@functools.cache
def recorded_task(facts: RecordedTask) -> Task:
    """Makes the task: V and M of the usual sizes; M learns the rewards, and the ends where there are any."""
    choices = (len(facts.lows),) if facts.is_choice else ()
    return Task(
        name=facts.name,
        summary=f"recordings of {facts.source}, without an environment",
        env_id="",
        dream_id=f"worldmodels/Recorded-{facts.name}-Dream-v0",
        action_size=len(facts.lows),
        max_episode_steps=facts.max_episode_steps,
        presets=PRESETS,
        squash=Choose(choices) if choices else Within(facts.lows, facts.highs),
        choices=choices,
        done_head=facts.has_ends,
    )
