"""The tasks that no package announces, made of what lies in their folders."""

from __future__ import annotations

import functools
import json

from worldmodels.envs.any_env import Defaults
from worldmodels.envs.recorded import recorded_task
from worldmodels.envs.task import PlaySettings, Task, acting_as
from worldmodels.runs import task_file
from worldmodels.runs.recorded import RecordedTask


@functools.cache
def described_task(facts: task_file.Facts) -> Task:
    """Makes the task."""
    if isinstance(facts, RecordedTask):
        return recorded_task(facts)
    task = Task(
        name=facts.name,
        env_id=facts.env_id,
        summary=f"Gymnasium's {facts.env_id}",
        env_kwargs=json.loads(facts.env_kwargs),
        read=facts.read,
        max_episode_steps=facts.max_episode_steps,
        play=PlaySettings(render_fps=facts.render_fps),
        dream_id=f"worldmodels/Env-{facts.name}-Dream-v0",
        latent_id=f"worldmodels/Env-{facts.name}-Latent-v0",
    )
    found = Defaults(
        facts.observation,
        facts.choices,
        facts.lows,
        facts.highs,
        facts.max_episode_steps,
        facts.render_fps,
        facts.solved_at,
    )
    return acting_as(task, found)
