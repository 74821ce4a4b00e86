"""Work in threads: results in order, torch's threads shared out, and one failure or an interrupt ends all."""

import contextlib
import os
import signal
import threading
import time

import pytest
import torch

from worldmodels.runtime.side_by_side import side_by_side
from worldmodels.search.evaluators import MIN_THREAD_SLOTS, DreamEvaluator
from worldmodels.worlds.rollout import EpisodeJob


def test_results_come_in_order_and_torchs_threads_are_shared_out():
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        found = side_by_side([lambda check, i=i: (i, torch.get_num_threads()) for i in range(2)])
        assert found == [(0, 2), (1, 2)]
        assert torch.get_num_threads() == 4
    finally:
        torch.set_num_threads(before)


def forever(check):
    while True:
        check()
        time.sleep(0.01)


def test_a_failure_ends_all_and_is_raised():
    def fails(check):
        raise ValueError("this one")

    with pytest.raises(ValueError, match="this one"):
        side_by_side([forever, fails])


def test_an_interrupt_ends_all():
    at_work = [False, False]

    def works(index):
        def work(check):
            at_work[index] = True
            try:
                forever(check)
            finally:
                at_work[index] = False

        return work

    # Whoever runs tests side by side may have it ignored.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            side_by_side([works(0), works(1)])
    finally:
        signal.signal(signal.SIGINT, handler)
    timer.join()
    assert at_work == [False, False]


def test_threads_are_used_again():
    side_by_side([lambda check: None] * 3)
    before = threading.active_count()
    numbers = [side_by_side([lambda check: threading.get_ident()] * 3) for _ in range(20)]
    assert threading.active_count() == before
    assert all(found == numbers[0] for found in numbers)


def test_a_forked_child_has_threads_of_its_own():
    side_by_side([lambda check: None] * 2)
    child = os.fork()
    if not child:
        with contextlib.suppress(BaseException):
            os._exit(side_by_side([lambda check, i=i: i for i in range(2)]) != [0, 1])
        os._exit(2)
    deadline = time.monotonic() + 20
    while not (ended := os.waitpid(child, os.WNOHANG))[0]:
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.01)
    assert ended[1] == 0


def test_dreams_in_several_threads_are_the_same_dreams(toy_world_model):
    solutions = torch.randn(3, 13, generator=torch.Generator().manual_seed(0))
    jobs = [EpisodeJob(i % 3, i % 50) for i in range(2 * MIN_THREAD_SLOTS + 7)]
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            told = []
            results = DreamEvaluator(toy_world_model, "zh", 1.0, 10_000).evaluate(solutions, jobs, told.append)
            assert sorted(told, key=repr) == sorted(results, key=repr)
            found.append(results)
    finally:
        torch.set_num_threads(before)
    assert found[0] == found[1]
    assert [result.job for result in found[0]] == jobs
