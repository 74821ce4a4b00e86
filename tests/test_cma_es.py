"""CMA-ES behind ask and tell: it optimises, it resumes bit for bit, and it survives a broken candidate."""

from dataclasses import replace

import numpy as np
import pytest

from worldmodels.runs.run import Run
from worldmodels.search.cma_es import CMAES
from worldmodels.search.start import begin_search


def sphere(x):
    return (x**2).sum(1)


def ellipsoid(x):
    return (10 ** (3 * np.arange(x.shape[1]) / (x.shape[1] - 1)) * x**2).sum(1)


def rosenbrock(x):
    return (100 * (x[:, 1:] - x[:, :-1] ** 2) ** 2 + (1 - x[:, :-1]) ** 2).sum(1)


@pytest.mark.parametrize(
    ("cost", "generations"), [(lambda x: sphere(x - 1), 80), (lambda x: ellipsoid(x - 1), 160), (rosenbrock, 250)]
)
def test_finds_the_optimum_at_ones(cost, generations):
    search = CMAES(np.zeros(6), 0.5, 16, seed=0)
    for _ in range(generations):
        search.tell(-cost(search.ask()))
    assert search.generation == generations
    np.testing.assert_allclose(search.mean, np.ones(6), atol=1e-2)
    assert search.sigma < 0.1


def test_starts_at_zero_with_the_given_width():
    search = CMAES(np.zeros(50), 0.1, 64, seed=0)
    assert (search.mean == 0).all()
    solutions = search.ask()
    assert solutions.shape == (64, 50)
    assert abs(solutions.std() - 0.1) < 0.01


def test_a_search_told_again_is_the_same_search():
    unbroken, told = CMAES(np.zeros(8), 0.3, 10, seed=5), []
    for _ in range(12):
        told.append(-ellipsoid(unbroken.ask() - 0.5))
        unbroken.tell(told[-1])
    resumed = CMAES(np.zeros(8), 0.3, 10, seed=5)
    np.random.default_rng(1).normal(size=100)
    for fitness in told:
        resumed.ask()
        resumed.tell(fitness)
    assert resumed.mean.tobytes() == unbroken.mean.tobytes()
    assert resumed.sigma == unbroken.sigma
    assert resumed.ask().tobytes() == unbroken.ask().tobytes()
    assert CMAES(np.zeros(8), 0.3, 10, seed=6).ask().tobytes() != CMAES(np.zeros(8), 0.3, 10, seed=5).ask().tobytes()


def test_weight_decay_is_taken_from_the_fitness():
    """Its candidates are told, with the decay, what without it would be told of them less its mean square."""
    decaying, plain = CMAES(np.ones(6), 0.3, 10, seed=0, weight_decay=0.5), CMAES(np.ones(6), 0.3, 10, seed=0)
    for _ in range(20):
        solutions = decaying.ask()
        assert solutions.tobytes() == plain.ask().tobytes()
        decaying.tell(-ellipsoid(solutions - 2))
        plain.tell(-ellipsoid(solutions - 2) - 0.5 * (solutions**2).mean(1))
    assert decaying.mean.tobytes() == plain.mean.tobytes()


def test_weight_decay_makes_weights_small_where_all_score_the_same():
    search = CMAES(np.ones(6), 0.3, 16, seed=0, weight_decay=0.01)
    for _ in range(100):
        search.tell(np.full(len(search.ask()), 2100.0))
    assert np.abs(search.mean).max() < 0.05


def test_the_setting_reaches_the_search(toy_run):
    run = Run.open(toy_run)
    plain = replace(run.preset.controller, optimizer="cma", num_components=0, ppo_iterations=0)
    searches = [begin_search(replace(plain, cma_weight_decay=decay), run) for decay in (0, 100)]
    for search in searches:
        solutions = search.ask()
        search.tell(-sphere(solutions - 1))
    assert searches[0].mean.tobytes() != searches[1].mean.tobytes()


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_a_broken_fitness_ranks_worst(broken):
    searches = [CMAES(np.zeros(5), 0.5, 8, seed=0) for _ in range(2)]
    for told in (broken, -1e9):
        search = searches.pop(0)
        fitness = -sphere(search.ask() - 1)
        fitness[np.argmax(fitness)] = told  # the best one breaks
        search.tell(fitness)
        searches.append(search)
    # CMA-ES sees ranks alone.
    np.testing.assert_array_equal(searches[0].mean, searches[1].mean)


def test_no_finite_fitness_stops_and_leaves_the_state():
    search, other = CMAES(np.zeros(5), 0.5, 8, seed=0), CMAES(np.zeros(5), 0.5, 8, seed=0)
    fitness = -sphere(search.ask())
    other.ask()
    with pytest.raises(ValueError, match="finite"):
        search.tell(np.full(8, np.nan))
    assert search.generation == 0
    search.tell(fitness)
    other.tell(fitness)
    assert search.ask().tobytes() == other.ask().tobytes()


def test_numpys_global_generator_is_untouched():
    np.random.seed(7)  # noqa: NPY002 (it is what must not change)
    before = np.random.get_state()[1].tobytes()  # noqa: NPY002
    search = CMAES(np.zeros(5), 0.5, 8, seed=0)
    search.tell(-sphere(search.ask()))
    assert np.random.get_state()[1].tobytes() == before  # noqa: NPY002


def test_a_search_without_a_generation_takes_no_memory():
    """C with a hidden layer has 43,560 weights: the table of their pairs would be 15 GB."""
    search = CMAES(np.ones(43_560), 0.1, 8, seed=0)
    assert "_strategy" not in vars(search)
    assert (search.mean.sum(), search.sigma) == (43_560, 0.1)
    assert "_strategy" not in vars(search)
