"""The original's optimisers: they find optima, repeat themselves exactly, and step as evosax's do on the same candidates."""

import dataclasses
import json
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from worldmodels.base.errors import UserError
from worldmodels.cli import main
from worldmodels.config import ControllerConfig, ESConfig
from worldmodels.search.cma_es import CMAES
from worldmodels.search.openes import OpenES
from worldmodels.search.pepg import PEPG
from worldmodels.search.ses import SES
from worldmodels.search.simple_ga import SimpleGA
from worldmodels.search.strategy import annealed, centred_ranks, decayed

POPULATION = 32
TARGET = np.linspace(-1, 1, 10)
STRATEGIES = {"openes": OpenES, "pepg": PEPG, "ses": SES, "simple-ga": SimpleGA}
SETTINGS = {
    "openes": ESConfig(learning_rate=0.1, learning_rate_decay=0.98, sigma_limit=0.01, weight_decay=0),
    "pepg": ESConfig(learning_rate=0.1, learning_rate_decay=0.98, sigma_limit=0.01, weight_decay=0),
    "ses": ESConfig(elite_ratio=0.25, sigma_limit=0.01, weight_decay=0),
    "simple-ga": ESConfig(sigma_decay=0.98, sigma_limit=0.01, weight_decay=0),
}
NAMES = ["cma", *STRATEGIES]


def make(name, start, seed=0, **changes):
    if name == "cma":
        return CMAES(start, 0.3, POPULATION, seed)
    return STRATEGIES[name](start, 0.2, POPULATION, seed, dataclasses.replace(SETTINGS[name], **changes))


def sphere(solutions):
    return -np.square(solutions - TARGET).sum(-1)


def rastrigin(solutions):
    x = solutions - TARGET
    return -(10 * x.shape[-1] + (np.square(x) - 10 * np.cos(2 * np.pi * x)).sum(-1))


def run(search, function, generations):
    for _ in range(generations):
        search.tell(function(search.ask()))
    return search


@pytest.mark.parametrize("name", ["pepg", "ses"])
@pytest.mark.parametrize("sigma", [1e-6, 1.0, 100.0])
def test_step_sizes_stay_numbers_whatever_is_set(name, sigma):
    changes = {"sigma_learning_rate": 10, "sigma_max_change": 1, "sigma_limit": 1e-9, "sigma_decay": 0.01, "learning_rate": 1}
    settings = dataclasses.replace(SETTINGS[name], **changes)
    search = STRATEGIES[name](np.zeros(10), sigma, POPULATION, 0, settings)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(200):
            search.tell(sphere(search.ask()))
            assert search.sigma > 0
            assert np.isfinite(search.mean).all()
            assert np.isfinite(search.sigma)


@pytest.mark.parametrize("name", NAMES)
def test_each_finds_the_optimum_of_a_sphere(name):
    start = np.full(10, 2.0)
    search = run(make(name, start), sphere, 300)
    assert sphere(search.mean) > 0.01 * sphere(start)
    assert search.sigma < 0.3


@pytest.mark.parametrize("name", NAMES)
def test_each_gets_far_up_a_rugged_hill(name):
    start = np.full(10, 2.0)
    search = run(make(name, start), rastrigin, 200)
    assert rastrigin(search.mean) > 0.5 * rastrigin(start)


@pytest.mark.parametrize("name", NAMES)
def test_one_that_goes_through_its_history_again_goes_on_with_the_same_bytes(name):
    start, told = np.zeros(10), []
    search = make(name, start, 3)
    for _ in range(7):
        told.append(rastrigin(search.ask()))
        search.tell(told[-1])
    resumed = make(name, start, 3)
    for fitness in told:
        resumed.replay(fitness)
    assert resumed.generation == search.generation == 7
    assert resumed.sigma == search.sigma
    np.testing.assert_array_equal(resumed.mean, search.mean)
    np.testing.assert_array_equal(resumed.ask(), search.ask())
    assert not np.array_equal(make(name, start, 4).ask(), make(name, start, 3).ask())


@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_finite_ranks_last(name):
    broken, bad = make(name, np.zeros(10)), make(name, np.zeros(10))
    fitness = sphere(broken.ask())
    bad.ask()
    fitness[3] = fitness.min() - 1
    bad.tell(fitness)
    fitness[3] = np.nan
    broken.tell(fitness)
    np.testing.assert_array_equal(broken.mean, bad.mean)
    before = broken.mean.copy()
    broken.ask()
    with pytest.raises(ValueError, match="no candidate has a finite fitness"):
        broken.tell(np.full(POPULATION, np.inf))
    np.testing.assert_array_equal(broken.mean, before)
    with pytest.raises(ValueError, match=r"\(3,\) values for 32 candidates"):
        broken.replay(np.zeros(3))


class ByTheEquations:
    """The original's openes, pepg and ses at the settings of its training program, written from the equations of its ``es.py``:
    ranks, weight decay, Adam, and each parameter's own step size."""

    def __init__(self, name, num_parameters, sigma):
        self.name, self.step = name, 0
        self.mean, self.first, self.second = np.zeros((3, num_parameters))
        self.sigma = sigma if name == "openes" else np.full(num_parameters, sigma)

    def climb(self, gradient):
        self.step += 1
        self.first = 0.99 * self.first + 0.01 * gradient
        self.second = 0.999 * self.second + 0.001 * gradient**2
        rate = 0.01 * np.sqrt(1 - 0.999**self.step) / (1 - 0.99**self.step)
        self.mean = self.mean + rate * self.first / (np.sqrt(self.second) + 1e-8)

    def tell(self, solutions, fitness):
        reward = fitness.argsort().argsort() / (len(fitness) - 1) - 0.5 - 0.005 * (solutions**2).mean(1)
        noise, half = solutions - self.mean, len(fitness) // 2
        if self.name == "openes":
            self.climb(((reward - reward.mean()) / reward.std()) @ noise / (len(fitness) * self.sigma**2))
            self.sigma *= 0.999 if self.sigma > 0.02 else 1
            return
        pairs, ahead = (reward[:half] + reward[half:]) / 2, reward[:half] - reward[half:]
        change = 0.2 * ((pairs - reward.mean()) @ ((noise[:half] ** 2 - self.sigma**2) / self.sigma)) / (2 * half)
        if self.name == "ses":
            self.mean = solutions[reward.argsort()[::-1][: int(0.1 * len(fitness))]].mean(0)
        else:
            self.climb(ahead @ noise[:half])
        self.sigma = self.sigma + change.clip(-0.2 * self.sigma, 0.2 * self.sigma)
        self.sigma = np.where(self.sigma > 0.02, self.sigma * 0.999, self.sigma)


@pytest.mark.parametrize("name", ["openes", "pepg", "ses"])
def test_at_the_originals_settings_they_step_by_its_equations(name):
    search, expected = STRATEGIES[name](np.zeros(10), 0.1, 64, 0, ESConfig()), ByTheEquations(name, 10, 0.1)
    for _ in range(60):
        solutions = search.ask()
        expected.tell(solutions, rastrigin(solutions))
        search.tell(rastrigin(solutions))
        np.testing.assert_allclose(search.mean, expected.mean, atol=1e-9)
        assert search.sigma == pytest.approx(np.sqrt(np.mean(expected.sigma**2)), rel=1e-9)


@pytest.mark.parametrize("name", ["openes", "pepg", "ses"])
def test_pairs_lie_on_both_sides_of_the_mean(name):
    search = run(make(name, np.ones(10)), sphere, 3)
    solutions = search.ask() - search.mean
    np.testing.assert_allclose(solutions[: POPULATION // 2], -solutions[POPULATION // 2 :], atol=1e-15)


def test_candidates_without_pairs():
    solutions = OpenES(np.zeros(10), 0.1, 33, 0, ESConfig(antithetic=False)).ask()
    assert solutions.shape == (33, 10)
    assert len(np.unique(np.abs(solutions[:, 0]))) == 33


@pytest.mark.parametrize("name", ["openes", "pepg", "ses"])
def test_only_the_order_counts_where_fitness_is_ranked(name):
    one, other = make(name, np.zeros(10)), make(name, np.zeros(10))
    fitness = sphere(one.ask())
    other.ask()
    one.tell(fitness)
    other.tell(np.exp(fitness))
    np.testing.assert_array_equal(one.mean, other.mean)
    assert one.sigma == other.sigma


@pytest.mark.parametrize("name", STRATEGIES)
def test_weight_decay_makes_weights_smaller(name):
    search = make(name, np.ones(10), weight_decay=1, rank_fitness=False)
    run(search, lambda solutions: np.zeros(len(solutions)), 40)
    assert np.square(search.mean).mean() < 0.8


def test_a_generation_without_differences_moves_nothing():
    search = make("openes", np.ones(4), rank_fitness=False)
    run(search, lambda solutions: np.full(len(solutions), 5.0), 3)
    np.testing.assert_array_equal(search.mean, np.ones(4))


def test_a_lucky_parent_is_kept_unless_it_is_forgotten():
    found = {}
    for forget in (False, True):
        search = make("simple-ga", np.zeros(10), forget_best=forget)
        search.ask()
        lucky = np.arange(float(POPULATION))
        search.tell(lucky + 1e6)
        best = search.mean.copy()
        run(search, sphere, 5)
        found[forget] = np.array_equal(search.mean, best)
    assert found == {False: True, True: False}


def test_shaping():
    np.testing.assert_array_equal(centred_ranks(np.array([3.0, -1.0, 100.0])), [0.0, -0.5, 0.5])
    np.testing.assert_allclose(decayed(np.zeros(2), np.array([[1.0, 3.0], [0.0, 0.0]]), 0.1), [-0.5, 0.0])
    assert (annealed(0.1, 0.9, 0.05), annealed(0.05, 0.9, 0.05)) == (0.1 * 0.9, 0.05)


def test_what_an_optimiser_cannot_do_is_refused():
    ControllerConfig(optimizer="openes", population_size=33, es=ESConfig(antithetic=False)).validate()
    for config, said in (
        (ControllerConfig(optimizer="pepg", population_size=33), "population_size is 33; pepg draws candidates in pairs"),
        (ControllerConfig(optimizer="ses", cma_weight_decay=0.01), "cma_weight_decay is 0.01, and the optimizer is ses"),
        (ControllerConfig(optimizer="ses", num_components=8), "num_components is 8, and only cma searches along components"),
        (ControllerConfig(es=ESConfig(weight_decay=-1)), "es_weight_decay is -1; it must lie between 0 and 1,000"),
    ):
        with pytest.raises(UserError, match=f"^{said}"):
            config.validate()


def test_a_setting_that_an_optimiser_never_reads_is_refused_before_the_search(toy_run, tmp_path, capsys):
    """An old run that has one is still opened: it changed nothing."""
    path = Path(shutil.copytree(toy_run, tmp_path / "run"))
    for folder in ("controller", "model"):
        shutil.rmtree(path / folder)
    for optimizer, flag, said in (
        (
            "cma",
            "weight-decay",
            "es_weight_decay is 0.5, and cma never reads it, only openes, pepg, ses, simple-ga",
        ),
        (
            "simple-ga",
            "learning-rate",
            "es_learning_rate is 0.5, and simple-ga never reads it, only openes, pepg",
        ),
    ):
        asked = ["train-controller", "--run", str(path), "--optimizer", optimizer, f"--es-{flag}", "0.5"]
        assert main(asked) == 2
        assert said in capsys.readouterr().err
        assert not (path / "controller").exists()
    ControllerConfig(es=ESConfig(weight_decay=0.5)).validate()


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_search_that_was_cut_off_ends_with_the_same_bytes(toy_copy, name):
    folder = toy_copy / "controller"
    command = ["train-controller", "--run", str(toy_copy), "--optimizer", name, "--num-generations", "4"]
    found = []
    for rows in (0, 2):
        history = (folder / "history.jsonl").read_text().splitlines(keepends=True)[:rows]
        for file in ("DONE", "scores.jsonl", *["STARTED"][rows:]):
            (folder / file).unlink()
        (folder / "history.jsonl").write_text("".join(history))
        assert main(command) == 0
        told = [json.loads(line)["fitness"] for line in (folder / "history.jsonl").read_text().splitlines()]
        found.append((told, (folder / "best.safetensors").read_bytes()))
    assert len(found[0][0]) == 4
    assert found[0] == found[1]


def test_the_optimiser_is_in_the_fingerprint(toy_copy, capsys):
    assert main(["train-controller", "--run", str(toy_copy), "--optimizer", "openes"]) == 2
    assert "optimizer" in capsys.readouterr().err


def test_they_step_as_evosax_does():
    """In a process of its own: JAX's threads and the forks of other tests do not go together."""
    tests = Path(__file__).with_name("evosax_steps.py")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(tests)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, cwd=tests.parent.parent)
    assert done.returncode == 0, done.stdout
