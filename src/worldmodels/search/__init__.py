"""The search of C: evolution strategies, PPO in the dream, and the evaluators that score candidates."""
