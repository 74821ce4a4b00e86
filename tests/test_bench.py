"""What the bench makes of its measurements, and that its work is the stages' own."""

import time

import psutil
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.stages import bounds, timing
from benchmarks.stages.plan import Bench
from benchmarks.stages.playing import DREAM_STEPS, measure_cma_es
from benchmarks.stages.timing import ROUNDS, Row, best_of, rates
from worldmodels.envs.registry import get_task
from worldmodels.models.mdn_rnn import MDNRNN
from worldmodels.models.sizes import own_sizes
from worldmodels.models.stepper import MDNStepper
from worldmodels.models.vae import VAE


def test_every_work_gets_its_turns_and_the_best_round_counts(monkeypatch):
    now, done = 0.0, []
    monkeypatch.setattr(timing.time, "perf_counter", lambda: now)

    def work(name, durations):
        def once():
            nonlocal now
            now += durations[done.count(name)]
            done.append(name)
            return 2.0

        return once

    # The first is not counted; a round of 2 seconds has as many repetitions as fit.
    disturbed = [9.0, 4.0, 1.0, 1.0, 4.0]
    steady = [9.0, 2.0, 2.0, 2.0]
    assert rates([work("disturbed", disturbed), work("steady", steady)], [2.0 * ROUNDS, 2.0 * ROUNDS]) == [2.0, 1.0]
    assert done == ["disturbed", "steady", "disturbed", "steady", "disturbed", "disturbed", "steady", "disturbed", "steady"]


def test_a_work_beside_busy_processes():
    """They compute while the work goes on, and are gone after it, whatever comes."""
    mine, seen = psutil.Process(), []
    before = set(mine.children())

    def work():
        if not seen:
            seen.extend(set(mine.children()) - before)
        time.sleep(0.1)
        return 3.0

    assert 0 < timing.rate_beside(2, work, 0.5) <= 30
    assert len(seen) == 2
    assert not any(process.is_running() for process in seen)

    def fails():
        seen[:] = [(process, process.cpu_times().user) for process in set(mine.children()) - before]
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        timing.rate_beside(1, fails, 0.5)
    ((process, seconds),) = seen
    assert seconds > 0
    assert not process.is_running()


def test_the_best_of_several_rows():
    rows = [Row("toy", "encoding", value, "frames/s", "", baseline, bound) for value, baseline, bound in ((3, 2, 5), (4, 1, 4))]
    best = best_of(rows).to_dict()
    assert (best["value"], best["baseline"], best["bound"]) == (4, 2, 5)
    assert (best["ratio"], best["fraction_of_bound"]) == (2, 0.8)
    assert best_of([Row("toy", "ask and tell", value, "s/generation", "") for value in (3, 2, 4)]).value == 2


@pytest.mark.parametrize("task", ["take-cover", "car-racing"])
def test_the_operations_are_those_that_torch_counts(task):
    """Of convolutions and matrix products, by torch's own counter."""
    spec = get_task(task)
    vae, rnn = VAE(spec.latent_size), MDNRNN(own_sizes(spec))

    def counted(call):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            call()
        return counter.get_total_flops()

    frames, z = torch.zeros(1, 3, 64, 64), torch.zeros(1, spec.latent_size)
    assert bounds.encoder_operations(vae) == counted(lambda: vae.encode(frames))
    assert bounds.vae_operations(vae) == counted(lambda: (vae.encode(frames), vae.decode_logits(z)))
    state, stepper = rnn.initial_state(8), MDNStepper(rnn, torch.float32)
    noise = torch.zeros(8, spec.latent_size)

    def step():
        after = stepper.step(noise, torch.zeros(8, spec.action_size), torch.zeros(8), state)
        stepper.sample(after.hidden, noise, noise, 1.0)

    # The steppers' product takes the bias along as one more column.
    assert bounds.rnn_operations(rnn) == counted(step) / 8 - 2 * 4 * spec.hidden_size


def test_a_row_of_the_bench(tmp_path):
    row = measure_cma_es(Bench(get_task("car-racing"), tmp_path, "cpu", 0.1))
    assert row.unit == "s/generation"
    assert 0 < row.value < 10
    assert get_task("car-racing").max_episode_steps > DREAM_STEPS
