"""V, M and C."""
