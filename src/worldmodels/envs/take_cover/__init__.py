"""Doom's TakeCover as a task. Importing this package registers it."""

from __future__ import annotations

from worldmodels.envs.take_cover.env import HIT_DAMAGES, MAX_EPISODE_STEPS
from worldmodels.envs.take_cover.presets import LAPTOP, ORIGINAL, PAPER, SMOKE
from worldmodels.envs.task import DataSettings, Frames, PlaySettings, Published, PublishedScore, Task, register

register(
    Task(
        name="take-cover",
        summary="Doom's TakeCover: dodge fireballs; C learns inside M's dream and plays the real game",
        env_id="worldmodels/TakeCover-v1",
        latent_size=64,
        hidden_size=512,
        action_size=1,
        max_episode_steps=MAX_EPISODE_STEPS,
        presets={"smoke": SMOKE, "laptop": LAPTOP, "paper": PAPER},
        recipes={"original": ORIGINAL},
        frames={
            "640x480": Frames({"resolution": "640x480"}),
            "original": Frames({"resolution": "640x480", "original_frames": True}),
        },
        controller_bias=False,
        mirrored_action=(-1.0,),
        env_threads=2,
        watched_kwargs={"watched": True},
        restart_input=True,
        hit_damages=HIT_DAMAGES,
        dream_reward=1.0,
        data=DataSettings(fixed_actions={"stay": (0.0,), "always left": (-1.0,), "always right": (1.0,)}),
        play=PlaySettings(keys={"left": (-1.0,), "right": (1.0,)}, names=("sideways",)),
        published=Published(
            solved_at=750,
            scores=(
                PublishedScore("paper, random policy", 210, 108),
                PublishedScore("paper, agent, τ 1.15", 918, 546, "dream"),
                PublishedScore("paper, agent, τ 1.15", 1092, 556),
            ),
        ),
    )
)
