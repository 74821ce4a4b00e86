"""Estimates of the time left: none before there is something to estimate from, and then of the right size."""

import re
from pathlib import Path

import pytest

from worldmodels.cli import main
from worldmodels.runtime import progress
from worldmodels.runtime.progress import PLAIN_SECONDS, Progress


class Clock:
    """The time, as the test says."""

    now = 1000.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    found = Clock()
    monkeypatch.setattr(progress, "time", found)
    return found


def seconds_left(said):
    """The estimates in some lines, in seconds."""
    found = [re.search(r"([\d:]+) left", line) for line in said.splitlines()]
    return [sum(60**i * int(part) for i, part in enumerate(reversed(m[1].split(":")))) for m in found if m]


def work(clock, times, total):
    """Does a unit at each time, in seconds since the beginning."""
    began, shown = clock.now, Progress("work", total, "units")
    for done, when in enumerate(times, 1):
        clock.now = began + when
        shown.update(done)


def test_a_long_start_is_no_measure_of_the_work(clock, capsys):
    """An evaluation that ended after 47 s: 33 s until the first episode was done, then one after the other."""
    work(clock, [33 + 14 * i / 99 for i in range(100)], 100)
    said = capsys.readouterr().err
    assert "work: 1/100 units" in said
    assert all(left <= 60 for left in seconds_left(said))


def test_later_estimates_leave_the_start_out(clock, capsys):
    """20 s to start, then a unit a second: an estimate is nearly right as soon as there is one."""
    work(clock, [20 + i for i in range(200)], 200)
    found = seconds_left(capsys.readouterr().err)
    assert len(found) > 100 / PLAIN_SECONDS
    for index, left in enumerate(reversed(found)):
        assert abs(left - PLAIN_SECONDS * (index + 1)) < 2 * PLAIN_SECONDS


def test_a_burst_is_no_measure_either(clock, capsys):
    """Units that are done side by side end together: 32 every 25 s, a hundredth of a second apart."""
    times = [5 + 25 * (i // 32 + 1) + 0.01 * (i % 32) for i in range(320)]
    work(clock, times, 320)
    found = seconds_left(capsys.readouterr().err)
    assert found
    assert max(found) < 1.5 * times[-1]
    # Nearly nothing left is said towards the end alone.
    assert found[0] > 60


@pytest.mark.parametrize("score", ["", "return 1234.5 (max 2345.6)", "0.02722 hits a step"])
@pytest.mark.parametrize("rate", [0.0035, 1.5, 12345.678])
def test_a_line_fits_60_columns(clock, capsys, rate, score):
    total, shown, began = 1_000_000, Progress("train-controller, PPO", 1_000_000, "iterations"), clock.now
    for done in range(1, 40):
        clock.now = began + done * max(10 / rate, 10)
        shown.update(int(done * max(10, 10 * rate)), score)
    lines = [line for line in capsys.readouterr().err.splitlines() if line]
    assert len(lines) > 10
    assert max(map(len, lines)) <= 60
    assert all(f"/{total:,}" in line for line in lines)
    assert all(" left" in line for line in lines[5:])


@pytest.mark.parametrize(("rate", "said"), [(1772.4, "1,772/s"), (12.34, "12.3/s"), (0.0007, "1,429 s each")])
def test_a_rate_is_said_in_plain_digits(clock, capsys, rate, said):
    each = max(1, round(10 * rate))
    shown, began = Progress("encode", 100 * each, "frames"), clock.now
    for done in range(1, 5):
        clock.now = began + done * each / rate
        shown.update(done * each)
    assert said in capsys.readouterr().err.splitlines()[-1]


def test_a_training_tells_steps_rate_time_left_and_loss(clock, capsys):
    """In one line, of the unit that it ends with and that `inspect` counts."""
    shown, began = Progress("train-vae", 14_000, "steps"), clock.now
    for done in range(1, 5):
        clock.now = began + 20 * done
        shown.update(160 * done, "error 61.2, KL 31.5")
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == "train-vae: 640/14,000 steps, 8/s, 27:50 left, error 61.2"


def test_quiet_says_nothing_and_verbose_more_often(clock, capsys, monkeypatch):
    times = [0.5 * i for i in range(100)]
    lines = {}
    for loudness in ("quiet", "usual", "verbose"):
        monkeypatch.setattr(progress, "loudness", loudness)
        work(clock, times, 100)
        Progress("work", 10, "units", done=5).finish("all")
        lines[loudness] = len(capsys.readouterr().err.splitlines())
    assert lines["quiet"] == 0
    assert lines["verbose"] > 5 * lines["usual"] > 5


def test_the_last_line_says_where_it_lies(clock, capsys):
    Progress("encode", 10, "frames").finish("10 frames", Path("runs/mine/latents"))
    assert capsys.readouterr().err == "encode: 10 frames in 0:00, runs/mine/latents\n"


def test_a_last_line_that_is_too_long_goes_on_below(clock, capsys):
    Progress("train-controller", 4, "generations").finish("4 generations, best 30.0", Path("toy/model"))
    Progress("evaluate agent, dream", 4, "episodes").finish("τ 1.15 (the agent's own is 1.3): 906.1 ± 512.3", None)
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == ["train-controller: 4 generations, best 30.0 in 0:00", "  toy/model"]
    assert max(map(len, lines)) <= 60


def test_a_stage_ends_with_facts_that_can_be_read(toy_copy, capsys):
    """No line but a path's is longer than 60, and no number has sixteen digits."""
    assert main(["collect", "--run", str(toy_copy)]) == 0
    first, *facts = capsys.readouterr().out.splitlines()
    assert first == f"collect: finished {toy_copy / 'episodes'}"
    assert "  mean_length 13.5" in facts
    assert max(map(len, facts)) <= 60


def test_a_whole_run_ends_with_where_it_lies(toy_copy, capsys):
    assert main(["reproduce", "toy", "--run", str(toy_copy)]) == 0
    assert f"reproduce: finished {toy_copy}; 'worldmodels plot {toy_copy}'" in capsys.readouterr().out.splitlines()[-1]
