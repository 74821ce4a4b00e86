"""CarRacing: Gymnasium's CarRacing-v3 with its own physics and rules, and a much faster drawing of the state pixels.

Importing this package registers the task; Box2D and pygame are imported when an environment is made.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

from worldmodels.base.types import Floats, Frame
from worldmodels.envs.car_racing.by_hand import eased
from worldmodels.envs.car_racing.official import OfficialFrames
from worldmodels.envs.car_racing.presets import LAPTOP, ORIGINAL, PAPER, SMOKE
from worldmodels.envs.original_frames import original_frame
from worldmodels.envs.registry import register
from worldmodels.envs.task import DataSettings, Departure, Frames, PlaySettings, Published, PublishedScore, Task, Variant

MAX_EPISODE_STEPS = 1000


def squash(actions: Floats) -> Floats:
    """C's outputs [..., 3] in [-1, 1] → steering in [-1, 1], gas (x + 1) / 2, brake x clipped to [0, 1] (the original's)."""
    squashed = actions.copy()
    squashed[..., 1] = (actions[..., 1] + 1) / 2
    squashed[..., 2] = np.clip(actions[..., 2], 0, 1)
    return squashed


def varied(name: str, gym_name: str, summary: str) -> Variant:
    """Returns a variant of the fast drawing, and Gymnasium's own environment with the same look."""
    return Variant(summary, {"variant": name}, f"worldmodels/CarRacing-{gym_name}-v0")


#: Tang, Nguyen and Ha 2020, 100 episodes each; the first is the original's agent.
PUBLISHED = {
    who: dict(zip(("plain", "colour", "colour3", "bars", "blob"), scores, strict=True))
    for who, scores in {
        "world model (2018)": ((901, 37), (655, 353), (394, 413), (166, 137), (446, 299)),
        "Attention Agent": ((914, 15), (866, 112), (673, 372), (900, 35), (898, 53)),
        "PPO": ((865, 159), (505, 464), (579, 444), (615, 217), (855, 172)),
        "genetic algorithm": ((859, 79), (442, 362), (160, 304), (675, 254), (833, 135)),
    }.items()
}
PUBLISHED["Attention Agent"]["noise"] = (-58, 12)


def original_official(env: gym.Env[Any, Any]) -> gym.Env[Frame, Floats]:
    """Makes the original's frames of Gymnasium's own environment."""
    return OfficialFrames(env, original_frame)


register(
    Task(
        name="car-racing",
        summary="Gymnasium's CarRacing-v3: drive round a track that is new every time",
        env_id="worldmodels/CarRacing-v3",
        official_id="CarRacing-v3",
        official_wrapper=OfficialFrames,
        action_size=3,
        max_episode_steps=MAX_EPISODE_STEPS,
        presets={"smoke": SMOKE, "laptop": LAPTOP, "paper": PAPER},
        recipes={"original": ORIGINAL},
        departures=(
            Departure("data", "random data: held actions with a bias, from anywhere", ("collect",)),
            Departure("schedule", "M's learning rate falls", ("rnn.final_learning_rate",)),
            Departure("search", "C's search: fewer episodes a candidate, ended where nothing comes", ("controller",)),
        ),
        frames={"original": Frames({"original_frames": True}, original_official)},
        variants={
            "colour": varied("colour", "Colour", "the road and the field lighter or darker, anew in every episode"),
            "colour3": varied("colour3", "Colour3", "the same, each of the three channels by itself"),
            "bars": varied("bars", "Bars", "a black bar on the left and one on the right"),
            "blob": varied("blob", "Blob", "a red square that stays in front of the car"),
            "noise": varied("noise", "Noise", "noise in the place of the grass, anew in every step"),
            "domain": Variant(
                "Gymnasium's domain_randomize: any colours, anew in every episode",
                {"domain_randomize": True},
                official_kwargs={"domain_randomize": True},
            ),
        },
        squash=squash,
        env_kwargs={"lap_complete_percent": 0.95},
        visited_kwargs={},
        data=DataSettings(
            start_anywhere_kwargs={"start_anywhere": True},
            fixed_actions={
                "stand": (0.0, 0.0, 0.0),
                "straight on": (0.0, 0.3, 0.0),
                "always left": (-0.3, 0.3, 0.0),
                "always right": (0.3, 0.3, 0.0),
            },
        ),
        play=PlaySettings(
            keys={"left": (-1.0, 0.0, 0.0), "right": (1.0, 0.0, 0.0), "up": (0.0, 1.0, 0.0), "down": (0.0, 0.0, 0.8)},
            key_ramp=0.1,
            ease=eased,
            names=("steering", "gas", "brake"),
            render_fps=50,
        ),
        published=Published(
            solved_at=900,
            scores=(
                PublishedScore("paper, V only", 632, 251),
                PublishedScore("paper, V and a hidden layer", 788, 141),
                PublishedScore("paper, V and M", 906, 21),
            ),
            robustness={
                row: tuple(PublishedScore(who, *scores[row]) for who, scores in PUBLISHED.items() if row in scores)
                for row in PUBLISHED["Attention Agent"]
            },
        ),
    )
)
