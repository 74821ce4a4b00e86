"""How fast every stage is on this machine: ``python -m benchmarks.stages``."""
