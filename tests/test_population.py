"""Candidates in the real environment: the same results whoever plays them, and whoever dies while playing."""

import os
import signal
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import psutil
import pytest
import torch
from kill_loop import workers_of

from worldmodels.base.errors import EnvironmentFailure
from worldmodels.envs.registry import get_task
from worldmodels.models.sizes import own_parameters
from worldmodels.runtime.local_workers import MAX_FAILURES, LocalWorkers
from worldmodels.search.evaluators import RealEvaluator
from worldmodels.worlds.rollout import EpisodeJob

# More jobs than two chunks hold, candidates that straddle chunks, and one that plays only once.
JOBS = [EpisodeJob(candidate, 100 + seed) for candidate in (4, 0, 2) for seed in range(13)] + [EpisodeJob(1, 7)]


@pytest.fixture(scope="module")
def solutions():
    spec = get_task("toy")
    return torch.randn(5, own_parameters(spec, "zh"), generator=torch.Generator().manual_seed(0))


def play(world_model, solutions, num_workers, on_result=None):
    population = RealEvaluator(get_task("toy"), world_model, "zh", official=True, num_workers=num_workers)
    try:
        return population.evaluate(solutions, JOBS, on_result), population
    finally:
        population.close()


@pytest.fixture(scope="module")
def alone(toy_world_model, solutions):
    """What a single worker, this process, makes of the jobs."""
    return play(toy_world_model, solutions, 1)[0]


@pytest.mark.parametrize("num_workers", [2, 5])
def test_any_number_of_workers_gives_the_same_results(toy_world_model, solutions, alone, num_workers):
    assert [result.job for result in alone] == JOBS
    assert len({result.episode_return for result in alone}) > 3
    told = []
    pool, _ = play(toy_world_model, solutions, num_workers, told.append)
    assert pool == alone
    assert sorted(map(repr, told)) == sorted(map(repr, alone))


def test_a_killed_worker_is_replaced_and_its_work_done_again(toy_world_model, solutions, alone, capfd):

    def kill_one():
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if workers := workers_of(psutil.Process()):
                os.kill(workers[0].pid, signal.SIGKILL)
                return
            time.sleep(0.01)

    thread = threading.Thread(target=kill_one)
    thread.start()
    found, population = play(toy_world_model, solutions, 2)
    thread.join()
    assert found == alone
    assert population.num_failures == 1
    said = capfd.readouterr().err
    assert said.count("a worker process died; ") == 1
    assert "are done again, failure 1 here" in said


def _prepare(folder):
    pass


def _sleep(seconds):
    time.sleep(seconds)


def test_nobody_waits_for_work_that_is_given_up():
    workers = LocalWorkers(2, _prepare, None, ())
    results = workers.map_unordered(_sleep, [(0,), (60,), (60,)])
    next(results)
    start = time.monotonic()
    results.close()  # as an exception between two results does
    workers.close()
    assert time.monotonic() - start < 10


def wait_until(seen):
    """Waits for what a race needs; from Python 3.12 on a lock of the pool's own keeps the two apart, and it is never seen."""
    deadline = time.monotonic() + (2 if sys.version_info >= (3, 12) else 60)
    while not seen() and time.monotonic() < deadline:
        time.sleep(0.001)


def check_that_work_is_done(killed, num_workers=2):
    workers = LocalWorkers(num_workers, _prepare, None, ())
    ended = threading.Event()

    def work():
        assert sorted(workers.map_unordered(_sleep, [(0,)] * 2)) == [(0, None), (1, None)]
        workers.close()
        ended.set()

    threading.Thread(target=work, daemon=True).start()
    assert ended.wait(60)
    assert len(killed) == workers.num_failures == 1


def test_a_worker_may_die_while_another_is_started(monkeypatch):
    """The pool finds the dead one while `submit` has just started another: it tells only those to end that it knows of by
    then, and waits for all."""
    killed = []

    class Processes(dict):
        def __setitem__(self, pid, process):
            if self and not killed:
                killed.extend(self)
                os.kill(killed[0], signal.SIGKILL)
                wait_until(lambda: pools[0]._call_queue._closed)
            super().__setitem__(pid, process)

    spawn, pools = ProcessPoolExecutor._spawn_process, []

    def remember_and_spawn(pool):
        if not pools:
            pools.append(pool)
            pool._processes = Processes()
        spawn(pool)

    monkeypatch.setattr(ProcessPoolExecutor, "_spawn_process", remember_and_spawn)
    check_that_work_is_done(killed)


def test_a_worker_may_die_while_a_task_is_handed_out(monkeypatch):
    """The pool gives up all tasks in its books while `submit` is about to enter another one, and to nobody's knowledge."""
    killed = []

    class Books(dict):
        def __init__(self, pool):
            super().__init__()
            self.pool = pool

        def __setitem__(self, number, task):
            if number == 1 and not killed:
                killed.extend(self.pool._processes)
                os.kill(killed[0], signal.SIGKILL)
                wait_until(lambda: self.pool._call_queue._reader.closed)
            super().__setitem__(number, task)

    init = ProcessPoolExecutor.__init__

    def init_with_books(pool, *args, **kwargs):
        init(pool, *args, **kwargs)
        pool._pending_work_items = Books(pool)

    monkeypatch.setattr(ProcessPoolExecutor, "__init__", init_with_books)
    # The first task is done before the second one is handed out: no other task's failure tells of the death.
    monkeypatch.setattr("worldmodels.runtime.local_workers.TASKS_AHEAD", 1)
    check_that_work_is_done(killed, 1)


def _die():
    os._exit(1)


def test_workers_that_always_die_are_given_up():
    workers = LocalWorkers(1, _prepare, None, ())
    with pytest.raises(EnvironmentFailure, match="died"):
        list(workers.map_unordered(_die, [()]))
    assert workers.num_failures == MAX_FAILURES


def test_the_random_agent_draws_from_the_action_space():
    spec = get_task("car-racing")
    population = RealEvaluator(spec, None, "z", official=False, num_workers=1)
    try:
        first, second, again = population.evaluate(torch.zeros(1, 0), [EpisodeJob(0, seed) for seed in (1, 2, 1)])
    finally:
        population.close()
    assert first.episode_return == again.episode_return != second.episode_return
    assert np.isfinite(first.episode_return)
    # Idle driving costs 100 and random driving visits a few tiles: far from what any agent reaches.
    assert -110 < first.episode_return < 50
