"""What strings stages together: the whole experiment, rounds of it, tables."""
