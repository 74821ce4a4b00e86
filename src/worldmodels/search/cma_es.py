"""CMA-ES (Hansen, "The CMA Evolution Strategy: A Tutorial", 2016): pycma as a `Strategy`.

x_i ~ N(m, σ² C);   m ← Σ w_i x_i of the best half;   C learns from their steps, σ from the length of the mean's path

A recorded generation takes 0.1 s to go through again at 1,088 parameters.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldmodels.search.strategy import Fitness, Solution, Solutions, Strategy, decayed

#: A number is kept for each pair of coordinates, several times over: more would take more than 8 GB.
MOST_COORDINATES = 15_000


class CMAES(Strategy):
    """Covariance matrix adaptation evolution strategy (Hansen), as pycma implements it.

    Args:
        start: the centre of the first generation, float64 [parameters].
        sigma: initial step size.
        population_size: candidates per generation.
        seed: of the run; generation g draws from (seed, "controller/cma", g).
        basis: float64 [parameters, K]: the search is for K coordinates, and a solution is the basis times them; ``start`` is
            taken to the nearest that has coordinates. None: the parameters are the coordinates.
        weight_decay: so many times the mean square of a candidate's parameters is taken from its fitness.
    """

    stage = "controller/cma"

    def __init__(
        self,
        start: Solution,
        sigma: float,
        population_size: int,
        seed: int,
        basis: NDArray[np.float64] | None = None,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(seed)
        self._basis, self._start, self._weight_decay = basis, start, weight_decay
        if basis is not None:
            start = np.linalg.lstsq(basis, start)[0].astype(np.float64)
        self._first, self._first_sigma, self._population_size = start, sigma, population_size
        self._rng = np.random.default_rng(0)
        self._coordinates: list[NDArray[np.float64]] = []

    @functools.cached_property
    def _strategy(self) -> Any:
        """pycma's search; made when its first generation is asked for, as it keeps a number for each pair of coordinates."""
        import cma  # it brings SciPy and Matplotlib, seconds that only its own searches should take

        return cma.CMAEvolutionStrategy(
            self._first,
            self._first_sigma,
            {
                "popsize": self._population_size,
                "randn": self._randn,
                "seed": np.nan,  # pycma would seed NumPy's global generator
                "verbose": -9,
                "signals_filename": "",  # pycma would poll a file of that name
                # Cumulative step-size adaptation, as in the original's pycma. In so many dimensions newer ones take the
                # two-point adaptation, which follows the growth of a policy's weights: sigma doubles, and candidates get lost.
                "AdaptSigma": cma.sigma_adaptation.CMAAdaptSigmaCSA,
                # Never stop by itself: how many generations there are is the caller's business.
                "maxiter": np.inf,
                "tolfun": 0,
                "tolfunhist": 0,
                "tolx": 0,
                "tolstagnation": np.inf,
                "tolflatfitness": np.inf,
            },
        )

    def _randn(self, *shape: int) -> NDArray[np.float64]:
        return self._rng.standard_normal(shape)

    def _sample(self, rng: np.random.Generator) -> Solutions:
        self._rng = rng
        self._coordinates = self._strategy.ask()
        return self._solution(np.stack(self._coordinates))

    def _solution(self, coordinates: NDArray[np.float64]) -> NDArray[np.float64]:
        """Coordinates [..., K] → parameters [..., parameters]."""
        return coordinates if self._basis is None else coordinates @ self._basis.T

    def _update(self, fitness: Fitness) -> None:
        worth = decayed(fitness, self._asked, self._weight_decay)
        self._strategy.tell(self._coordinates, list(-worth))  # pycma minimises

    @property
    def mean(self) -> NDArray[np.float64]:
        """The centre of the search distribution, float64 [parameters]; before the first generation ``start`` itself, which the
        coordinates may not reach."""
        if not self.generation:
            return self._start
        return self._solution(np.asarray(self._strategy.mean, np.float64))

    @property
    def sigma(self) -> float:
        """The current step size."""
        return float(self._strategy.sigma) if self.generation else self._first_sigma
