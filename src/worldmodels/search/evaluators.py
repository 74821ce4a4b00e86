"""Where candidates are scored. Nothing above this file knows how many play at once, or in how many processes."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from worldmodels.base.errors import UserError
from worldmodels.base.types import Floats
from worldmodels.config import Backend, ControllerInputs
from worldmodels.envs.task import Task
from worldmodels.models.world_model import WorldModel
from worldmodels.policies.blind import Blind
from worldmodels.policies.controller import ControllerPolicy
from worldmodels.runs.task_file import reference
from worldmodels.runtime.side_by_side import shared_out
from worldmodels.runtime.threads import threads_for
from worldmodels.runtime.workers import make_workers
from worldmodels.search.real_player import RealPlayer, play_in_worker, prepare_worker, save_weights, split_jobs
from worldmodels.worlds.dream_env import DreamEnv
from worldmodels.worlds.dream_rules import DreamRules
from worldmodels.worlds.rollout import EpisodeJob, EpisodeResult, Policy, rollout

OnResult = Callable[[EpisodeResult], None]

#: Dreams that one thread dreams by itself, at least: two with fewer are no faster than one that has the interpreter to itself.
MIN_THREAD_SLOTS = 32


class Evaluator(Protocol):
    """Scores candidates: what the search and the evaluation know of a world."""

    def evaluate(
        self,
        solutions: Tensor,
        jobs: Sequence[EpisodeJob],
        on_result: OnResult | None = None,
        patience_steps: int = 0,
        cap_steps: int = 0,
    ) -> list[EpisodeResult]:
        """Plays every job once with its candidate of ``solutions`` (float [P, parameters]); results in the jobs' order.

        Args:
            on_result: told each result as it comes, for progress.
            patience_steps: as in `rollout`; ignored in dreams.
            cap_steps: as in `rollout`.
        """

    def close(self) -> None:
        """Ends what `evaluate` has started."""


class DreamEvaluator(Evaluator):
    """Plays candidates' episodes in M's dream, in this process, side by side and shared out over its threads.

    Args:
        inputs: what C sees.
        temperature: the dream's.
        num_slots: dreams side by side at most.
        device: where to dream.
        acting: makes who acts in the candidates' place in a dream; None: they act themselves.
        rules: the dream's.

    Raises:
        UserError: the world model's dream has no rewards.
    """

    def __init__(
        self,
        world_model: WorldModel,
        inputs: ControllerInputs,
        temperature: float,
        num_slots: int,
        device: str = "cpu",
        acting: Callable[[DreamEnv], Policy] | None = None,
        rules: DreamRules = DreamRules(),  # noqa: B008 (frozen)
    ) -> None:
        if world_model.spec.reward_head and not world_model.sizes.reward_head:
            raise UserError(f"{world_model.spec.name}: this M does not predict the reward, and nothing scores in its dream")
        self._world_model, self._inputs, self._device = world_model.on(device), inputs, device
        self._temperature, self._num_slots, self._acting, self._rules = temperature, num_slots, acting, rules

    def evaluate(
        self,
        solutions: Tensor,
        jobs: Sequence[EpisodeJob],
        on_result: OnResult | None = None,
        patience_steps: int = 0,
        cap_steps: int = 0,
    ) -> list[EpisodeResult]:
        """Plays every job once with its candidate of ``solutions`` (float [P, parameters]); results in the jobs' order.

        ``patience_steps`` is ignored: a dream's steps are cheap.
        """
        num_slots = min(self._num_slots, len(jobs))
        num_threads = torch.get_num_threads() if self._device == "cpu" else 1
        num_parts = max(1, min(num_threads, num_slots // MIN_THREAD_SLOTS))
        solutions = solutions.to(self._device)

        lock = threading.Lock()

        def tell(result: EpisodeResult) -> None:
            if on_result is not None:
                with lock:
                    on_result(result)

        def dream(jobs: Sequence[EpisodeJob], check: Callable[[], None]) -> list[EpisodeResult]:
            slots = min(num_slots // num_parts, len(jobs))
            world = DreamEnv(self._world_model, self._inputs, slots, self._temperature, as_tensors=True, rules=self._rules)
            policy = self._acting(world) if self._acting else self._controller(solutions)
            with threads_for(1):  # where other programs keep the cores busy, torch's threads wait for each other
                return rollout(world, policy, jobs, cap_steps=cap_steps, on_step=lambda *_: check(), on_result=tell)

        # An episode depends on its own seed alone, so it is no matter who dreams it beside which others.
        return shared_out(jobs, num_parts, dream)

    def _controller(self, solutions: Tensor) -> Policy:
        return ControllerPolicy(self._world_model.spec, self._world_model.sizes, self._inputs, solutions)

    def close(self) -> None:
        """Nothing is open."""


class RealEvaluator(Evaluator):
    """Plays candidates' episodes in the real environment: chunk by chunk, in a pool of workers with their own environments,
    V and M. A single chunk, or a single worker of this machine, needs no pool.

    Args:
        world_model: V and M; None for a policy that does not look, ``blind``.
        inputs: what C sees.
        official: whether to play the official environment where training has a faster copy.
        num_workers: processes; 0 is one per CPU core.
        backend: where the workers are; ``address`` is the Ray cluster's.
    """

    def __init__(
        self,
        spec: Task,
        world_model: WorldModel | None,
        inputs: ControllerInputs,
        official: bool,
        num_workers: int,
        backend: Backend = "local",
        address: str = "",
        blind: Blind = Blind(),  # noqa: B008 (frozen)
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="worldmodels-workers-")
        weights = None if world_model is None else Path(self._folder.name)
        if weights is not None and world_model is not None:
            save_weights(weights, world_model)
        sizes = None if world_model is None else world_model.sizes
        look = (spec.frames_name, spec.variant)
        prepared = (prepare_worker, weights, reference(spec.name), *look, official, sizes, inputs, blind)
        self._workers = make_workers(backend, address, num_workers, *prepared)
        self._player = RealPlayer(spec, official, world_model, inputs, blind)

    def evaluate(
        self,
        solutions: Tensor,
        jobs: Sequence[EpisodeJob],
        on_result: OnResult | None = None,
        patience_steps: int = 0,
        cap_steps: int = 0,
    ) -> list[EpisodeResult]:
        """Plays every job once with its candidate of ``solutions`` (float [P, parameters]); results in the jobs' order.

        They depend on the jobs and their order alone, not on the number of workers.
        """
        chunks = split_jobs(jobs)
        tasks = [(*_task(solutions, chunk), patience_steps, cap_steps) for chunk in chunks]
        played: Iterable[tuple[int, list[EpisodeResult]]]
        if len(chunks) == 1 or self._workers.alone:
            played = ((index, self._player.play(*task)) for index, task in enumerate(tasks))
        else:
            played = self._workers.map_unordered(play_in_worker, tasks)
        results: list[list[EpisodeResult]] = [[] for _ in chunks]
        for index, found in played:
            # The chunk's candidates were numbered anew.
            results[index] = [
                EpisodeResult(job, result.episode_return, result.length)
                for job, result in zip(chunks[index], found, strict=True)
            ]
            for result in results[index]:
                if on_result is not None:
                    on_result(result)
        return [result for chunk in results for result in chunk]

    @property
    def num_failures(self) -> int:
        """How many times workers had died and were replaced."""
        return self._workers.num_failures

    def close(self) -> None:
        """Ends the processes and closes the environments."""
        self._workers.close()
        self._player.close()
        self._folder.cleanup()


def _task(solutions: Tensor, chunk: Sequence[EpisodeJob]) -> tuple[Floats, list[EpisodeJob]]:
    """Returns what is needed to play a chunk: its candidates' weights, and its jobs with the candidates numbered anew."""
    candidates = sorted({job.candidate for job in chunk})
    jobs = [EpisodeJob(candidates.index(job.candidate), job.seed) for job in chunk]
    return np.asarray(solutions[torch.tensor(candidates)]), jobs
