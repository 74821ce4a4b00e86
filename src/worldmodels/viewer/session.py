"""A session: one player, two worlds, one episode after the other. No window here.

Reality is the game behind V and M; a second dream beside it goes on from the latest latent with the same actions and is put
back on reality's every second. Stepping into the dream goes on from the same latent; stepping back finds reality where it was
left.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray

from worldmodels.agent.agent import Agent
from worldmodels.base.errors import UserError
from worldmodels.base.files import check_folder
from worldmodels.base.seeding import derive_seed
from worldmodels.base.types import Floats, Frame
from worldmodels.config import TEMPERATURES, PlayConfig, Player
from worldmodels.config import World as WorldName
from worldmodels.data.episodes import Recording as EpisodeRecording
from worldmodels.data.recordings.npz import write_episode
from worldmodels.envs.check import check_task
from worldmodels.models.precision import pick_device
from worldmodels.policies.controller import ControllerPolicy
from worldmodels.viewer import hands
from worldmodels.worlds.dream_env import DreamEnv
from worldmodels.worlds.dream_rules import DreamRules
from worldmodels.worlds.latent_env import LatentEnv
from worldmodels.worlds.pixel_envs import PixelEnvs
from worldmodels.worlds.rollout import EpisodeJob
from worldmodels.worlds.state import WorldState

#: The temperature's keys multiply by this, within the bounds that ``--temperature`` has.
TEMPERATURE_STEP, LOWEST, HIGHEST = 1.1, TEMPERATURES.low, TEMPERATURES.high
#: Seeds are below it; after the last one comes 0.
NUM_SEEDS = 2**31
NOTHING_HELD: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True)
class Picture:
    """What a step shows: uint8 frames of any size, None where there is none."""

    screen: Frame
    """The game's own picture, or the dream's frame."""
    seen: Frame | None
    """What V sees."""
    reconstruction: Frame | None
    """What V makes of it."""
    dream: Frame | None
    """The dream that goes on beside reality."""


@dataclass
class Episode:
    """How the episode in one world stands."""

    seed: int
    score: float = 0.0
    steps: int = 0
    over: bool = False


class Session:
    """Steps one world at a time.

    Args:
        agent: V, and M and C as far as there are any.
        settings: the first world, player, seed and temperature.
        episodes: the folder that each episode played in reality is written into, also one that is left before its end; None:
            none is.

    Raises:
        UserError: the dream is asked for and there is no M.
    """

    def __init__(self, agent: Agent, settings: PlayConfig, episodes: Path | None = None) -> None:
        if episodes is not None:
            check_folder(episodes)
        self._folder, self._played = episodes, EpisodeRecording()
        self.kept: list[Path] = []
        """The episodes' files."""
        self.agent, self.spec = agent, agent.task
        self.player: Player = settings.player
        self.temperature, self._rules = settings.temperature or agent.temperature, DreamRules(settings.dream_dropout)
        self._dreamer = agent.world_model.on(pick_device(settings.device))
        self.world: WorldName = "real"
        self.action: Floats = np.zeros(self.spec.action_size, np.float32)
        # Neither world has an episode to go on with yet.
        self.episodes: dict[WorldName, Episode] = {
            "real": Episode(settings.seed, over=True),
            "dream": Episode(settings.seed, over=True),
        }
        # Making the game's picture costs more than the game: only when reality is opened.
        self._reality: LatentEnv | None = None
        self._game: Any = None
        self._dream = self._make_dream()
        self._beside = self._make_dream()
        self._past: deque[tuple[WorldState, Episode]] = deque(maxlen=self.spec.max_episode_steps)
        self._branches = 0
        self._controller = None
        if agent.solution is not None:
            self._controller = ControllerPolicy(self.spec, agent.world_model.sizes, agent.inputs, agent.solution[None])
            self._controller.begin(np.ones(1, np.bool_), [EpisodeJob(0, 0)])
        if settings.world == "dream":
            self._refuse_no_dream()
            self.world = "dream"
        self.restart()

    @property
    def episode(self) -> Episode:
        """The episode of the world that is open."""
        return self.episodes[self.world]

    @property
    def who(self) -> str:
        """Who acts, in words."""
        return "you" if self.player == "human" else "agent" if self._controller is not None else "random policy (no C yet)"

    @property
    def health(self) -> float | None:
        """What is left of a health of 100 in the open world, by the game or by the dream's hits; None: the task has none."""
        world = self._dream if self.world == "dream" else self._reality
        if not self.spec.hit_damages or world is None:
            return None
        return max(0.0, float(world.world_state().health[0]))

    @property
    def until_correction(self) -> float:
        """How much of a second is left until the dream beside reality is put back on it, from 1 to 0."""
        return 1 - self.episode.steps % self.spec.play.render_fps / self.spec.play.render_fps

    @property
    def action_space(self) -> spaces.Box:
        """The actions of both worlds."""
        space = self._dream.single_action_space
        assert isinstance(space, spaces.Box)
        return space

    def _make_dream(self) -> DreamEnv:
        return DreamEnv(self._dreamer, self.agent.inputs, 1, self.temperature, torch.float32, rules=self._rules)

    def _refuse_no_dream(self) -> None:
        if not self.agent.can_dream:
            raise UserError(f"{self.spec.name}: nothing can dream yet; 'worldmodels train-rnn' makes M")

    def _open_reality(self) -> LatentEnv:
        if self._reality is None:
            check_task(self.spec)
            self._game = self.spec.make_env(render_mode="rgb_array")
            model = self.agent.world_model
            self._reality = LatentEnv(PixelEnvs([self._game]), model, self.agent.inputs, self.agent.can_dream)
        return self._reality

    def restart(self, seed: int | None = None) -> None:
        """Begins an episode in the open world, with this one's seed or another."""
        if self.world == "real":
            self.keep_episode()
        episode = self.episodes[self.world] = Episode((self.episode.seed if seed is None else seed) % NUM_SEEDS)
        self.action = np.zeros(self.spec.action_size, np.float32)
        self._random = self.spec.seeded_random_policy(episode.seed)
        if self.world == "real":
            self._open_reality().reset(seed=[episode.seed])
            self._follow()
        else:
            self._dream.reset(seed=[episode.seed])
            self._past.clear()

    def _follow(self) -> None:
        """Puts the dream beside reality back on reality's latest latent."""
        if self.agent.can_dream and self._reality is not None:
            self._beside.restore(self._reality.world_state(), [self._branch_seed()])

    def _branch_seed(self) -> int:
        """Returns the seed of a dream that goes on from here: another one each time."""
        self._branches += 1
        return derive_seed(self.episode.seed, "viewer/branch", self._branches)

    def switch_world(self) -> None:
        """Goes to the other world. Raises `UserError` if there is none."""
        if self.world == "real":
            self._refuse_no_dream()
            if not self.episode.over and self._reality is not None:
                self._dream.restore(self._reality.world_state(), [self._branch_seed()])
                self.episodes["dream"] = dataclasses.replace(self.episode)
                self._past.clear()
            self.world = "dream"
            if self.episode.over:
                self.restart()
        else:
            self.world = "real"
            if self._reality is None or self.episode.over:
                self.restart()

    def switch_player(self) -> None:
        """Hands the controls to the other one."""
        self.player = "agent" if self.player == "human" else "human"

    def change_temperature(self, direction: int) -> None:
        """Makes the dream hotter (1) or colder (-1)."""
        self.set_temperature(self.temperature * TEMPERATURE_STEP**direction)

    def set_temperature(self, temperature: float) -> None:
        """Makes the dream as hot as that, within the bounds."""
        self.temperature = self._dream.temperature = self._beside.temperature = float(np.clip(temperature, LOWEST, HIGHEST))

    def rewind(self) -> None:
        """Takes the dream's last step back; what follows is dreamt anew."""
        if self.world == "dream" and self._past:
            state, self.episodes["dream"] = self._past.pop()
            self._dream.restore(state, [self._branch_seed()])

    def step(self, held: Mapping[str, float] = NOTHING_HELD) -> None:
        """Plays one step of the open world; ``held`` is how far a person's keys are down, 0 to 1, by name."""
        if self.episode.over:
            return
        world = self._open_reality() if self.world == "real" else self._dream
        self.action = self._choose(world, held)
        if isinstance(world, DreamEnv):
            self._past.append((world.world_state(), dataclasses.replace(self.episode)))
        seen = world.frames[0] if isinstance(world, LatentEnv) else None
        _, rewards, terminated, truncated, infos = world.step(self.action[None])
        if seen is not None and self._folder is not None:
            self._played.add(seen, self.action, float(rewards[0]), bool(terminated[0]), float(infos["damage"][0]))
        self.episode.score += float(rewards[0])
        self.episode.steps += 1
        self.episode.over = bool(terminated[0] or truncated[0])
        if self.episode.over and self.world == "real":
            self.keep_episode()
        if self.world == "real" and self.agent.can_dream:
            if self.episode.steps % self.spec.play.render_fps == 0:
                self._follow()
            else:
                self._beside.step(self.action[None])

    def keep_episode(self) -> None:
        """Writes what has been played of reality's episode, where that is asked for. Raises `EnvironmentFailure`."""
        played, self._played = self._played, EpisodeRecording()
        if self._folder is not None and len(played):
            self.kept.append(write_episode(self._folder, played.episode(self.episodes["real"].seed)))

    def _choose(self, world: LatentEnv | DreamEnv, held: Mapping[str, float]) -> Floats:
        """Returns the action of whoever acts, float32 [A]."""
        if self.player == "human":
            return hands.act(self.spec, held, self.action, self._game if self.world == "real" else None)
        if self._controller is not None:
            chosen: Floats = self._controller.act(world.features())[0]
            return chosen
        random: Floats = self._random(np.zeros((64, 64, 3), np.uint8))
        return random

    def picture(self) -> Picture:
        """Returns what there is to see of the open world."""
        if self.world == "dream":
            frame = self._dream.decode()[0]
            return Picture(frame, None, None, None)
        reality = self._open_reality()
        # One pass of V's decoder for both.
        latents = [reality.z, self._beside.z.cpu()] if self.agent.can_dream else [reality.z]
        decoded = self.agent.vae.decode_frames(torch.cat(latents)).numpy()
        screen: NDArray[np.uint8] = np.asarray(self._game.render(), np.uint8)
        return Picture(screen, reality.frames[0], decoded[0], decoded[1] if self.agent.can_dream else None)

    def close(self) -> None:
        """Closes the game."""
        if self._reality is not None:
            self._reality.close()
        self._dream.close()
        self._beside.close()
