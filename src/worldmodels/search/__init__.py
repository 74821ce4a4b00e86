"""CMA-ES and where its candidates are scored."""
