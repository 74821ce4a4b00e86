"""Our optimisers beside evosax's on the same candidates: run by `test_strategies.py`, in a process of its own."""

import jax
import numpy as np
import optax
from test_strategies import POPULATION, make, run, sphere

# evosax minimises, draws by itself, and computes in float32.
GENERATIONS = 20


def test_openes_steps_as_evosax_does():
    from evosax.algorithms import Open_ES

    theirs = Open_ES(POPULATION, np.zeros(10), True, optax.adam(0.05, 0.99, 0.999), optax.constant_schedule(0.2))
    ours = make("openes", np.zeros(10), sigma_decay=1, learning_rate=0.05, learning_rate_decay=1)
    compare(ours, theirs, theirs.default_params)


def test_pepg_steps_as_evosax_does():
    from evosax.algorithms import PGPE

    theirs = PGPE(POPULATION, np.zeros(10), optax.adam(0.05, 0.99, 0.999))
    # Their rate of the step sizes counts both sides of a pair.
    params = theirs.default_params.replace(std_init=0.2, std_lr=0.1, std_max_change=0.2)
    ours = make("pepg", np.zeros(10), sigma_decay=1, sigma_learning_rate=0.2, learning_rate=0.05, learning_rate_decay=1)
    compare(ours, theirs, params)


def compare(ours, theirs, params):
    """Tells both the fitness of our candidates, which the other takes for its own."""
    key = jax.random.key(0)
    state = theirs.init(key, np.zeros(10), params)
    for _ in range(GENERATIONS):
        solutions = ours.ask()
        fitness = sphere(solutions)
        ours.tell(fitness)
        state, _ = theirs.tell(key, solutions.astype(np.float32), -fitness.astype(np.float32), state, params)
        np.testing.assert_allclose(np.asarray(state.mean), ours.mean, atol=2e-4)
        np.testing.assert_allclose(np.sqrt(np.square(np.broadcast_to(state.std, 10)).mean()), ours.sigma, rtol=2e-4)
    assert np.abs(ours.mean).max() > 0.3


def test_the_genetic_algorithm_gets_as_far_as_evosax_does():
    from evosax.algorithms import SimpleGA as Theirs

    theirs = Theirs(POPULATION, np.zeros(10), optax.constant_schedule(0.2))
    theirs.elite_ratio = 0.25
    params = theirs.default_params.replace(crossover_rate=0.5)
    key = jax.random.key(0)
    population = np.zeros((POPULATION, 10), np.float32)
    state = theirs.init(key, population, -sphere(population), params)
    ours = make("simple-ga", np.zeros(10), sigma_decay=1, elite_ratio=0.25, forget_best=True)
    found = []
    for _ in range(60):
        key, ask, tell = jax.random.split(key, 3)
        solutions, state = theirs.ask(ask, state, params)
        state, _ = theirs.tell(tell, solutions, -sphere(np.asarray(solutions)), state, params)
        run(ours, sphere, 1)
        found.append((sphere(np.asarray(solutions)).mean(), sphere(ours.ask()).mean()))
    their_end, our_end = np.mean(found[-20:], 0)
    assert their_end > -1
    assert abs(our_end - their_end) < 0.25
