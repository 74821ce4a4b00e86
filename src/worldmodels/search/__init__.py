"""The search of C: CMA-ES, PPO in the dream, and the evaluators that score candidates."""
