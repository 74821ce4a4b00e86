"""The names of a run's files, each in one place."""

from __future__ import annotations

BEST = "best.safetensors"
WEIGHTS = "model.safetensors"
