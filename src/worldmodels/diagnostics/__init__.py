"""Measuring what is there: statistics, fidelity, open-loop error, hits foreseen, and what a file is."""
