"""Doom's TakeCover as a task. Importing this package registers it."""

from __future__ import annotations

from worldmodels.envs.registry import register
from worldmodels.envs.take_cover.env import HIT_DAMAGES, MAX_EPISODE_STEPS
from worldmodels.envs.take_cover.presets import LAPTOP, ORIGINAL, PAPER, SMOKE
from worldmodels.envs.task import DataSettings, Departure, Frames, PlaySettings, Published, PublishedScore, Task, Variant

#: Tang, Nguyen and Ha 2020, 100 episodes each: the original's agent, and theirs.
PUBLISHED = {"walls": (243, 934), "floor": (218, 1120), "text": (240, 1035)}

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
        departures=(
            Departure("screen", "a screen of 160×120 in place of 640×480", ("collect.frames",)),
            Departure("data", "random data with a bias and longer holds", ("collect.random",)),
            Departure("hits", "M learns hits; the dream's are drawn", ("rnn.end_target", "rnn.dream_end", "rnn.done_weight")),
            Departure("mirror", "M sees every episode in the mirror too", ("encode.mirror_episodes",)),
            Departure("vision", "V's quartic term, and a larger tolerance", ("vae.quartic_weight", "vae.kl_tolerance")),
            Departure("search", "C's search: PPO, or CMA-ES along components", ("controller",)),
        ),
        frames={
            "320x240": Frames({"resolution": "320x240"}),
            "640x480": Frames({"resolution": "640x480"}),
            "original": Frames({"resolution": "640x480", "original_frames": True}),
        },
        variants={
            "walls": Variant("walls four times as high", {"variant": "walls"}),
            "floor": Variant("another texture on the floor", {"variant": "floor"}),
            "text": Variant("a text in a blue box that hovers", {"variant": "text"}),
        },
        controller_bias=False,
        mirrored_action=(-1.0,),
        env_threads=2,
        watched_kwargs={"watched": True},
        visited_kwargs={"mapped": True},
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
            robustness={
                "plain": (PublishedScore("world model (2018)", 1092, 556), PublishedScore("Attention Agent", 1125, 589)),
                **{
                    row: (PublishedScore("world model (2018)", theirs), PublishedScore("Attention Agent", attention))
                    for row, (theirs, attention) in PUBLISHED.items()
                },
            },
        ),
    )
)
